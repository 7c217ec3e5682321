#include "tests/security/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"

enum { WORDS_MOST = 32, PATIENCE_MS = 10000, SILENCE_MS = 400 };

void need(status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

static char *join(const char *a, const char *b)
{
    char *path = path_join(a, b);
    if (!path) fail_msg("out of memory");
    return path;
}

char *scene_path(const scene *s, const char *name)
{
    return join(s->folder, name);
}

static int64_t deadline(const scene *s)
{
    return clock_ms() + (int64_t)PATIENCE_MS * s->slower;
}

/* ---- processes ---- */

/* A program of the build: the tests lie in BUILD/tests/tests/security. */
static char *program(const char *name)
{
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL;
    char *build = join(folder, "../../.."), *path = join(build, name);
    free(self);
    free(folder);
    free(build);
    return path;
}

static pid_t launch(scene *s, char **words, int output)
{
    pid_t pid = fork();
    if (pid) return pid;
    dup2(output, 1);
    dup2(output, 2);
    if (chdir(s->folder) == 0) execv(words[0], words);
    _exit(127);
}

static void read_print(scene *s)
{
    char part[4096];
    ssize_t n;
    while (s->printed >= 0 && (n = read(s->printed, part, sizeof part)) > 0) {
        need(array_room(&s->print, &s->print_room, s->print_length + (size_t)n + 1));
        memcpy(s->print + s->print_length, part, (size_t)n);
        s->print_length += (size_t)n;
        s->print[s->print_length] = '\0';
    }
}

bool scene_printed(scene *s, const char *words)
{
    read_print(s);
    return s->print && strstr(s->print, words);
}

void scene_expect_print(scene *s, const char *words)
{
    int64_t ends = deadline(s);
    while (!scene_printed(s, words)) {
        if (clock_ms() > ends) fail_msg("the coordinator does not say '%s' but:\n%s", words, s->print ? s->print : "");
        clock_sleep_ms(5);
    }
}

static void start_coordinator(scene *s)
{
    int output[2];
    char *coordinator = program("coordinator");
    char *words[] = {coordinator,
                     "--run",
                     s->run,
                     "--data",
                     "data.yaml",
                     "--weights",
                     "weights.pt",
                     "--bind",
                     "tcp://127.0.0.1:*",
                     "--no-dashboard",
                     "--precision",
                     "fp32",
                     "--heartbeat",
                     "1",
                     "--lease",
                     "60",
                     "--generations",
                     "1000",
                     NULL};
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    s->coordinator = launch(s, words, output[1]);
    close(output[1]);
    s->printed = output[0];
    fcntl(s->printed, F_SETFL, O_NONBLOCK);
    free(coordinator);
}

void scene_keys(scene *s, ...)
{
    char *coordinator = program("coordinator");
    char *words[WORDS_MOST] = {coordinator, "keys", "--run", s->run};
    size_t count = 4;
    va_list list;
    va_start(list, s);
    while ((words[count] = va_arg(list, char *)) != NULL) count++;
    va_end(list);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), how;
    pid_t pid = launch(s, words, null);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
    close(null);
    free(coordinator);
}

void scene_add_key(scene *s, const char *name, access_file *out)
{
    char *path = scene_path(s, name);
    scene_keys(s, "add", name, "--out", path, NULL);
    need(access_read(path, out));
    free(path);
}

int64_t scene_memory(const scene *s)
{
    char path[64];
    long long all, resident;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)s->coordinator);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lld %lld", &all, &resident), 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

void scene_stop(scene *s)
{
    int how;
    if (!s->coordinator) return;
    kill(s->coordinator, SIGINT);
    int64_t ends = deadline(s);
    while (waitpid(s->coordinator, &how, WNOHANG) == 0) {
        read_print(s);
        if (clock_ms() > ends) fail_msg("the coordinator does not end");
        clock_sleep_ms(5);
    }
    s->coordinator = 0;
}

/* ---- the folder ---- */

static void write_file(const scene *s, const char *name, const void *contents, size_t count)
{
    char *path = scene_path(s, name), *folder = path_folder(path);
    need(fs_make_folders(folder, 0700));
    need(fs_write(path, contents, count));
    free(folder);
    free(path);
}

static void write_text(const scene *s, const char *name, const char *contents)
{
    write_file(s, name, contents, strlen(contents));
}

/* Nobody looks into pictures or weights here. */
static void write_files(const scene *s)
{
    char *weights = malloc(WEIGHTS_BYTES);
    assert_non_null(weights);
    for (size_t i = 0; i < WEIGHTS_BYTES; i++) weights[i] = (char)(i * 2654435761u >> 24);
    write_file(s, "weights.pt", weights, WEIGHTS_BYTES);
    write_text(s, "data/images/train/a.jpg", "a picture");
    write_text(s, "data/images/val/b.jpg", "another");
    write_text(s, "data/labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n");
    write_text(s, "data.yaml", "train: data/images/train\nval: data/images/val\nnc: 1\nnames: [thing]\n");
    free(weights);
}

static int find_slowness(void)
{
#if defined __SANITIZE_THREAD__
    return 10;
#elif defined __SANITIZE_ADDRESS__
    return 4;
#else
    return 1;
#endif
}

int scene_open(void **state)
{
    char template[] = "/tmp/mendel-security-XXXXXX";
    scene *s = calloc(1, sizeof *s);
    if (!s || !mkdtemp(template)) return 1;
    zsys_init();
    zsys_handler_set(NULL);
    s->printed = -1;
    s->slower = find_slowness();
    s->folder = text_copy(template);
    s->run = scene_path(s, "run");
    setenv("XDG_RUNTIME_DIR", s->folder, 1);
    unsetenv("MENDEL_LOG"); /* nobody reads as fast as a coordinator can tell everything */
    write_files(s);
    start_coordinator(s);
    scene_expect_print(s, "workers connect to");
    char *path = scene_path(s, "run/access");
    need(access_read(path, &s->access));
    s->endpoint = s->access.addresses.names[0];
    free(path);
    *state = s;
    return 0;
}

int scene_close(void **state)
{
    scene *s = *state;
    if (s->coordinator > 0) {
        kill(s->coordinator, SIGKILL);
        waitpid(s->coordinator, NULL, 0);
    }
    if (s->printed >= 0) close(s->printed);
    status removed = fs_remove(s->folder);
    access_free(&s->access);
    free(s->folder);
    free(s->run);
    free(s->print);
    free(s);
    return removed == OK ? 0 : 1;
}

/* ---- guests ---- */

guest *guest_create_as(scene *s, const access_file *keys, const char *worker)
{
    guest *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->scene = s;
    g->slots = 1;
    g->host = "guest";
    strcpy(g->worker, worker);
    need(wire_id_make(&g->ids.session));
    g->socket = zsock_new(ZMQ_DEALER);
    assert_non_null(g->socket);
    zsock_set_identity(g->socket, worker);
    zsock_set_linger(g->socket, 0);
    zsock_set_sndtimeo(g->socket, PATIENCE_MS);
    if (keys) {
        zsock_set_curve_serverkey(g->socket, keys->server);
        zsock_set_curve_publickey(g->socket, keys->public_key);
        zsock_set_curve_secretkey(g->socket, keys->secret_key);
    }
    assert_int_equal(zsock_connect(g->socket, "%s", s->endpoint), 0);
    return g;
}

guest *guest_create(scene *s, const access_file *keys)
{
    wire_id id;
    char worker[WIRE_ID_ROOM];
    need(wire_id_make(&id));
    wire_id_text(&id, worker);
    return guest_create_as(s, keys, worker);
}

void guest_destroy(guest **g)
{
    if (!*g) return;
    zsock_destroy(&(*g)->socket);
    wire_free(&(*g)->welcomed);
    free(*g);
    *g = NULL;
}

void guest_say(guest *g, envelope_kind kind, void *body)
{
    envelope e;
    bytes packed;
    wire_envelope(&e, &g->ids, kind, body);
    need(wire_pack(&e, &packed));
    if (zmq_send(zsock_resolve(g->socket), packed.data, packed.count, 0) < 0 && !g->careless)
        fail_msg("a guest cannot send: %s", zmq_strerror(errno));
    bytes_free(&packed);
}

void guest_hello(guest *g, bool digests)
{
    Mendel__Hello hello = MENDEL__HELLO__INIT;
    Mendel__Device device = MENDEL__DEVICE__INIT;
    char *precisions[] = {(char *)"fp32"};
    device.name = device.model = (char *)"guest";
    device.precision = precisions[0];
    device.precisions = precisions;
    device.n_precisions = 1;
    device.threads = 1;
    hello.worker = g->worker;
    hello.version = (char *)MENDEL_VERSION;
    hello.host = (char *)g->host;
    hello.device = &device;
    hello.slots = g->slots;
    if (digests) {
        hello.data = g->welcomed->welcome->data;
        hello.n_data = g->welcomed->welcome->n_data;
    }
    guest_say(g, MENDEL__ENVELOPE__BODY_HELLO, &hello);
}

envelope *guest_hear(guest *g, int64_t for_ms)
{
    zmq_pollitem_t item = {zsock_resolve(g->socket), 0, ZMQ_POLLIN, 0};
    read_print(g->scene);
    if (zmq_poll(&item, 1, for_ms > 0 ? (long)for_ms : 0) <= 0) return NULL;
    zmsg_t *m = zmsg_recv(g->socket);
    assert_non_null(m);
    envelope *e;
    zframe_t *frame = zmsg_first(m);
    need(wire_unpack(zframe_data(frame), zframe_size(frame), &e));
    zmsg_destroy(&m);
    return e;
}

envelope *guest_expect(guest *g, envelope_kind kind)
{
    int64_t ends = deadline(g->scene);
    for (;;) {
        envelope *e = guest_hear(g, ends - clock_ms());
        if (e && e->body_case == kind) return e;
        if (!e && clock_ms() >= ends)
            fail_msg("no %s comes; the coordinator says:\n%s", wire_kind_name(kind), g->scene->print);
        wire_free(&e);
    }
}

void guest_greet(guest *g)
{
    for (bool done = false; !done;) {
        guest_hello(g, g->welcomed != NULL);
        wire_free(&g->welcomed);
        g->welcomed = guest_expect(g, MENDEL__ENVELOPE__BODY_WELCOME);
        done = !g->welcomed->welcome->check;
        g->ids.has_run = wire_id_read(&g->welcomed->run, &g->ids.run);
    }
}

void guest_ask(guest *g, int64_t slot)
{
    Mendel__WorkRequest request = MENDEL__WORK_REQUEST__INIT;
    request.slot = slot;
    request.number = ++g->number;
    guest_say(g, MENDEL__ENVELOPE__BODY_WORK_REQUEST, &request);
}

token guest_lease(guest *g, int64_t slot)
{
    guest_ask(g, slot);
    envelope *e = guest_expect(g, MENDEL__ENVELOPE__BODY_CANDIDATE);
    token t = token_read(e->candidate->token);
    wire_free(&e);
    return t;
}

Mendel__Verdict guest_deliver(guest *g, token t)
{
    Mendel__Result r = MENDEL__RESULT__INIT;
    Mendel__Record record = MENDEL__RECORD__INIT;
    Mendel__Token name;
    double results[RESULT_COUNT] = {0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1};
    token_write(t, &name);
    r.token = &name;
    r.record = &record;
    r.results = results;
    r.n_results = RESULT_COUNT;
    guest_say(g, MENDEL__ENVELOPE__BODY_RESULT, &r);
    envelope *e = guest_expect(g, MENDEL__ENVELOPE__BODY_RESULT_ACK);
    assert_true(token_equal(token_read(e->result_ack->token), t));
    Mendel__Verdict verdict = e->result_ack->verdict;
    wire_free(&e);
    return verdict;
}

void guest_heartbeat(guest *g, const token *held, size_t count)
{
    Mendel__Heartbeat h = MENDEL__HEARTBEAT__INIT;
    Mendel__Token *tokens = calloc(count + 1, sizeof *tokens), **list = calloc(count + 1, sizeof *list);
    assert_true(tokens && list);
    for (size_t i = 0; i < count; i++) {
        token_write(held[i], &tokens[i]);
        list[i] = &tokens[i];
    }
    h.held = list;
    h.n_held = count;
    guest_say(g, MENDEL__ENVELOPE__BODY_HEARTBEAT, &h);
    free(tokens);
    free(list);
}

void guest_expect_silence(guest *g)
{
    envelope *e = guest_hear(g, SILENCE_MS);
    if (e) fail_msg("%s came", wire_kind_name(e->body_case));
}

guest *guest_at_work(scene *s, const access_file *keys, token *lease)
{
    guest *g = guest_create(s, keys);
    guest_greet(g);
    *lease = guest_lease(g, 0);
    return g;
}

void guest_ask_piece(guest *g, int64_t offset, uint64_t proof)
{
    Mendel__BlobAck ask = MENDEL__BLOB_ACK__INIT;
    ask.hash = g->welcomed->welcome->weights_hash;
    ask.offset = offset;
    ask.proof = proof;
    guest_say(g, MENDEL__ENVELOPE__BODY_BLOB_ACK, &ask);
}
