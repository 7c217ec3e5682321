#include "tests/worker/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/hyp.h"
#include "common/text.h"
#include "common/train_options.h"

static const int64_t patience_ms = 10000;
enum { ARGUMENTS_MOST = 32 };

static void need(status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static char *join(const char *a, const char *b)
{
    char *path = path_join(a, b);
    if (!path) fail_msg("out of memory");
    return path;
}

/* ---- files ---- */

char *stage_path(const stage *s, const char *name)
{
    return join(s->folder, name);
}

void stage_write(const stage *s, const char *name, const char *contents)
{
    char *path = stage_path(s, name), *folder = path_folder(path);
    need(fs_make_folders(folder, 0700));
    need(fs_write(path, contents, strlen(contents)));
    free(folder);
    free(path);
}

char *stage_read(const stage *s, const char *name)
{
    char *path = stage_path(s, name), *bytes = NULL;
    size_t count;
    if (fs_read(path, 0, &bytes, &count) != OK) bytes = NULL;
    free(path);
    return bytes;
}

void stage_wait_for_file(stage *s, const char *name)
{
    char *path = stage_path(s, name);
    int64_t ends = clock_ms() + patience_ms;
    while (!fs_exists(path)) {
        if (clock_ms() > ends) fail_msg("%s does not appear; the worker says:\n%s", name, s->print);
        clock_sleep_ms(5);
    }
    free(path);
}

size_t stage_spooled(const stage *s)
{
    fs_names names;
    size_t count = 0;
    if (fs_list(s->spool, &names) != OK) return 0;
    for (size_t i = 0; i < names.count; i++)
        count += text_starts_with(names.names[i], "delivery-") && !strchr(names.names[i], '.');
    fs_names_free(&names);
    return count;
}

/* ---- the worker ---- */

static void read_print(stage *s)
{
    char part[4096];
    ssize_t n;
    while (s->printed >= 0 && (n = read(s->printed, part, sizeof part - 1)) > 0) {
        need(array_room(&s->print, &s->print_room, s->print_length + (size_t)n + 1));
        memcpy(s->print + s->print_length, part, (size_t)n);
        s->print_length += (size_t)n;
        s->print[s->print_length] = '\0';
    }
}

bool stage_printed(stage *s, const char *words)
{
    read_print(s);
    return s->print && strstr(s->print, words);
}

void stage_expect_print(stage *s, const char *words)
{
    int64_t ends = clock_ms() + patience_ms;
    while (!stage_printed(s, words)) {
        if (clock_ms() > ends) fail_msg("the worker does not say '%s' but:\n%s", words, s->print ? s->print : "");
        clock_sleep_ms(5);
    }
}

/* A program of the build: the tests lie in BUILD/tests/tests/worker. */
static char *program(const char *below)
{
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL, *path = join(folder, below);
    free(self);
    free(folder);
    return path;
}

static void set_environment(const stage *s)
{
    setenv("MENDEL_LOG", "info", 1); /* the tests read what it says */
    static const char *const names[] = {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "MENDEL_LOCKS"};
    static const char *const folders[] = {"run", "state", "cache", "locks"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = stage_path(s, folders[i]);
        need(fs_make_folders(path, 0700));
        setenv(names[i], path, 1);
        free(path);
    }
}

static void launch(stage *s, char **arguments)
{
    int output[2];
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    s->worker = fork();
    if (s->worker == 0) {
        dup2(output[1], 2);
        if (chdir(s->folder) == 0) execv(arguments[0], arguments);
        _exit(127);
    }
    close(output[1]);
    if (s->printed >= 0) close(s->printed);
    s->printed = output[0];
    fcntl(s->printed, F_SETFL, O_NONBLOCK);
}

static void start(stage *s, char *const *more, size_t count)
{
    char *worker = getenv("MENDEL_WORKER") ? text_copy(getenv("MENDEL_WORKER")) : program("../../../worker");
    char *trainer = program("fake_trainer");
    char *arguments[ARGUMENTS_MOST] = {worker, "--cpu", "1", "--spool", s->spool, "--train", trainer};
    size_t n = 7;
    for (size_t i = 0; i < count; i++) arguments[n++] = more[i];
    launch(s, arguments);
    free(worker);
    free(trainer);
}

void stage_start(stage *s, ...)
{
    char *more[ARGUMENTS_MOST];
    size_t count = 0;
    va_list list;
    va_start(list, s);
    for (char *word = va_arg(list, char *); word; word = va_arg(list, char *)) more[count++] = word;
    va_end(list);
    start(s, more, count);
}

void stage_start_here(stage *s)
{
    stage_start(s, "--coordinator", s->endpoint, NULL);
}

void stage_signal(stage *s, int number)
{
    assert_true(s->worker > 0);
    assert_int_equal(kill(s->worker, number), 0);
}

int stage_wait(stage *s)
{
    int64_t ends = clock_ms() + patience_ms;
    int how;
    while (waitpid(s->worker, &how, WNOHANG) == 0) {
        read_print(s);
        if (clock_ms() > ends) fail_msg("the worker does not end; it says:\n%s", s->print ? s->print : "");
        clock_sleep_ms(5);
    }
    s->worker = 0;
    read_print(s);
    return WIFSIGNALED(how) ? -WTERMSIG(how) : WEXITSTATUS(how);
}

/* ---- the coordinator ---- */

void stage_listen(stage *s)
{
    int on = 1, off = 0;
    s->router = zmq_socket(s->context, ZMQ_ROUTER);
    zmq_setsockopt(s->router, ZMQ_ROUTER_HANDOVER, &on, sizeof on);
    zmq_setsockopt(s->router, ZMQ_LINGER, &off, sizeof off);
    if (zmq_bind(s->router, s->endpoint)) fail_msg("bind %s: %s", s->endpoint, zmq_strerror(errno));
}

void stage_hang_up(stage *s)
{
    if (s->router) zmq_close(s->router);
    s->router = NULL;
}

envelope *stage_hear(stage *s, int64_t for_ms)
{
    zmq_pollitem_t item = {s->router, 0, ZMQ_POLLIN, 0};
    read_print(s);
    if (zmq_poll(&item, 1, for_ms > 0 ? (long)for_ms : 0) <= 0) return NULL;
    zmq_msg_t body;
    envelope *e = NULL;
    int n = zmq_recv(s->router, s->sender, sizeof s->sender, 0);
    if (n < 0) return NULL;
    s->sender_size = (size_t)n;
    zmq_msg_init(&body);
    zmq_msg_recv(&body, s->router, 0);
    if (wire_unpack(zmq_msg_data(&body), zmq_msg_size(&body), &e) != OK)
        fail_msg("the worker sent nonsense: %s", status_message());
    zmq_msg_close(&body);
    wire_id_read(&e->session, &s->ids.session);
    if (e->body_case == MENDEL__ENVELOPE__BODY_HEARTBEAT && !s->silent) {
        Mendel__Heartbeat answer = MENDEL__HEARTBEAT__INIT;
        stage_say(s, MENDEL__ENVELOPE__BODY_HEARTBEAT, &answer);
    }
    return e;
}

envelope *stage_expect(stage *s, envelope_kind kind)
{
    int64_t ends = clock_ms() + patience_ms;
    for (;;) {
        envelope *e = stage_hear(s, ends - clock_ms());
        if (e && e->body_case == kind) return e;
        if (!e && clock_ms() >= ends) {
            read_print(s);
            fail_msg("no %s comes; the worker says:\n%s", wire_kind_name(kind), s->print ? s->print : "");
        }
        wire_free(&e);
    }
}

void stage_expect_none(stage *s, envelope_kind kind, int64_t for_ms)
{
    int64_t ends = clock_ms() + for_ms;
    while (clock_ms() < ends) {
        envelope *e = stage_hear(s, ends - clock_ms());
        if (e && e->body_case == kind)
            fail_msg("%s came; the worker says:\n%s", wire_kind_name(kind), s->print ? s->print : "");
        wire_free(&e);
    }
}

void stage_say(stage *s, envelope_kind kind, void *body)
{
    envelope e;
    bytes packed;
    wire_envelope(&e, &s->ids, kind, body);
    need(wire_pack(&e, &packed));
    zmq_send(s->router, s->sender, s->sender_size, ZMQ_SNDMORE);
    zmq_send(s->router, packed.data, packed.count, 0);
    bytes_free(&packed);
}

static void pack_options(bytes *out)
{
    train_options o = {0};
    option_section section = train_section(&o, NULL);
    need(options_defaults(&section, 1));
    need(map_pack_options(train_rows, TRAIN_ROWS, &o, out));
    options_free(&section, 1);
}

static void pack_hyps(bytes *out)
{
    hyp_space space;
    double values[HYP_COUNT];
    hyp_space_default(&space);
    hyp_defaults(&space, false, values);
    need(map_pack_hyps(&space, values, out));
}

static void digest_data(const stage *s, data_digest digests[2])
{
    data_yaml d;
    need(data_yaml_parse("data", s->data, s->folder, &d));
    need(data_yaml_digest(&d, DATA_TRAIN, &digests[0]));
    need(data_yaml_digest(&d, DATA_VAL, &digests[1]));
    if (s->other_data) digests[1].images++;
    data_yaml_free(&d);
}

void stage_welcome(stage *s, bool check)
{
    Mendel__Welcome w = MENDEL__WELCOME__INIT;
    Mendel__Digest digests[2], *list[] = {&digests[0], &digests[1]};
    data_digest found[2];
    bytes options, hyps;
    digest_data(s, found);
    wire_digest_write("train", &found[0], &digests[0]);
    wire_digest_write("val", &found[1], &digests[1]);
    pack_options(&options);
    pack_hyps(&hyps);
    w.check = check;
    w.heartbeat_ms = s->heartbeat_ms;
    w.lease_ms = s->lease_ms;
    w.retry_ms = s->retry_ms;
    w.stall_ms = s->stall_ms;
    w.name = (char *)"test";
    w.data_yaml = (char *)(s->told_data ? s->told_data : s->data);
    w.data_root = s->folder;
    w.data = list;
    w.n_data = 2;
    w.model_yaml = (char *)"nc: 1\n";
    w.options = (ProtobufCBinaryData){options.count, options.data};
    w.base_hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    w.unwanted = s->unwanted;
    w.n_unwanted = s->unwanted_count;
    w.weights_hash = s->weights_hash;
    w.weights_path = (char *)(s->weights_path ? s->weights_path : "");
    w.weights_bytes = s->weights_bytes;
    w.keep_weights = s->keep_weights;
    stage_say(s, MENDEL__ENVELOPE__BODY_WELCOME, &w);
    bytes_free(&options);
    bytes_free(&hyps);
}

void stage_greet(stage *s)
{
    for (bool digests = false; !digests;) {
        envelope *e = stage_expect(s, MENDEL__ENVELOPE__BODY_HELLO);
        digests = e->hello->n_data >= 2;
        stage_welcome(s, !digests);
        wire_free(&e);
    }
}

void stage_answer(stage *s, const Mendel__WorkRequest *request, token t, fake behaviour)
{
    Mendel__Candidate c = MENDEL__CANDIDATE__INIT;
    Mendel__Token token_body;
    metrics own = {0};
    bytes hyps;
    metrics_add(&own, "lr0", 0.02);
    need(map_pack_metrics(&own, &hyps));
    token_write(t, &token_body);
    c.slot = request->slot;
    c.number = request->number;
    c.token = &token_body;
    c.hyps = (ProtobufCBinaryData){hyps.count, hyps.data};
    c.seed = behaviour;
    stage_say(s, MENDEL__ENVELOPE__BODY_CANDIDATE, &c);
    bytes_free(&hyps);
}

token stage_give(stage *s, int64_t candidate, fake behaviour)
{
    token t = {candidate, 1, s->ids.epoch};
    envelope *e = stage_expect(s, MENDEL__ENVELOPE__BODY_WORK_REQUEST);
    stage_answer(s, e->work_request, t, behaviour);
    wire_free(&e);
    return t;
}

void stage_no_work(stage *s, Mendel__NoWorkReason reason)
{
    Mendel__NoWork n = MENDEL__NO_WORK__INIT;
    envelope *e = stage_expect(s, MENDEL__ENVELOPE__BODY_WORK_REQUEST);
    n.slot = e->work_request->slot;
    n.number = e->work_request->number;
    n.reason = reason;
    n.retry_ms = s->retry_ms;
    stage_say(s, MENDEL__ENVELOPE__BODY_NO_WORK, &n);
    wire_free(&e);
}

void stage_ack_file(stage *s, token t, Mendel__FileFate fate)
{
    Mendel__ResultAck ack = MENDEL__RESULT_ACK__INIT;
    Mendel__Token body;
    token_write(t, &body);
    ack.token = &body;
    ack.file = fate;
    stage_say(s, MENDEL__ENVELOPE__BODY_RESULT_ACK, &ack);
}

void stage_ack(stage *s, token t)
{
    stage_ack_file(s, t, MENDEL__FILE_FATE__FILE_LEFT);
}

void stage_stop(stage *s, token t, bool unwanted)
{
    Mendel__Stop stop = MENDEL__STOP__INIT;
    Mendel__Token body;
    token_write(t, &body);
    stop.token = &body;
    stop.unwanted = unwanted;
    stop.reason = (char *)"the test says so";
    stage_say(s, MENDEL__ENVELOPE__BODY_STOP, &stop);
}

envelope *stage_expect_delivery(stage *s, envelope_kind kind, token t)
{
    envelope *e = stage_expect(s, kind);
    const Mendel__Token *of = kind == MENDEL__ENVELOPE__BODY_RESULT   ? e->result->token
                              : kind == MENDEL__ENVELOPE__BODY_FAILED ? e->failed->token
                                                                      : e->yield->token;
    if (!token_equal(token_read(of), t)) fail_msg("a delivery of candidate %lld came", (long long)of->candidate);
    return e;
}

/* ---- the folder ---- */

static void write_data(stage *s)
{
    stage_write(s, "data/images/train/a.jpg", "not looked into");
    stage_write(s, "data/images/train/b.jpg", "not looked into either");
    stage_write(s, "data/images/val/c.jpg", "nor this");
    stage_write(s, "data/labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n");
    s->data = text_copy("train: data/images/train\nval: data/images/val\nnc: 1\nnames: [thing]\n");
}

int stage_open(void **state)
{
    stage *s = calloc(1, sizeof *s);
    char template[] = "/tmp/mendel-worker-XXXXXX";
    if (!s || !mkdtemp(template)) return 1;
    s->folder = text_copy(template);
    s->spool = join(template, "spool");
    s->printed = -1;
    text endpoint = {0};
    text_add(&endpoint, "ipc://%s/socket", template);
    s->endpoint = text_take(&endpoint);
    s->context = zmq_ctx_new();
    s->ids.has_run = true;
    s->ids.epoch = 5;
    s->heartbeat_ms = 100;
    s->lease_ms = 1000;
    s->retry_ms = 100;
    s->stall_ms = 600000;
    if (wire_id_make(&s->ids.run) != OK) return 1;
    set_environment(s);
    write_data(s);
    stage_listen(s);
    *state = s;
    return 0;
}

int stage_close(void **state)
{
    stage *s = *state;
    if (s->worker > 0) {
        kill(s->worker, SIGKILL);
        waitpid(s->worker, NULL, 0);
    }
    stage_hang_up(s);
    zmq_ctx_term(s->context);
    if (s->printed >= 0) close(s->printed);
    status removed = fs_remove(s->folder);
    free(s->folder);
    free(s->endpoint);
    free(s->spool);
    free(s->data);
    free(s->print);
    free(s);
    return removed == OK ? 0 : 1;
}
