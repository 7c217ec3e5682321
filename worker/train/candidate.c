#include "worker/train/candidate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "proto/trainer.h"
#include "worker/train/training.h"

/* At most two progress messages a second go to the worker. */
static const double message_every = 0.5;

enum { EXIT_ABANDONED = 75 };

typedef struct candidate {
    int descriptor;
    trainer_reader *reader; /* the listener's, once that runs */
    atomic_bool stop;
    double sent; /* clock_seconds of the last iteration message */
    int64_t epoch;
} candidate;

static int64_t peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}

/* Pages in memory now; 0 where /proc does not say. */
static int64_t memory_now(void)
{
    long long all, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    int read = f ? fscanf(f, "%lld %lld", &all, &resident) : 0;
    if (f) fclose(f);
    return read == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

/* ---- listening ---- */

/* A thread of its own: a worker that dies must not leave a trainer behind, however long a step takes. */
static void *listen_to_worker(void *state)
{
    candidate *c = state;
    trainer_message m;
    while (trainer_receive(c->reader, &m) == OK) {
        if (m.kind == TRAINER_STOP) c->stop = true;
        trainer_message_free(&m);
    }
    _exit(EXIT_ABANDONED);
}

/* ---- reporting ---- */

static void tell(const candidate *c, const trainer_message *m)
{
    if (trainer_send(c->descriptor, m) != OK) log_debug("%s", status_message()); /* the listener ends the process */
}

static void on_ready(void *state, const training_ready *r)
{
    trainer_message m = {.kind = TRAINER_HELLO, .threads = r->device->threads, .version = (char *)MENDEL_VERSION};
    m.device = (char *)r->device->name;
    m.precision = (char *)precision_name(r->precision);
    tell(state, &m);
}

static void on_epoch(void *state, int64_t epoch)
{
    ((candidate *)state)->epoch = epoch;
}

static void on_progress(void *state, const training_progress *p)
{
    candidate *c = state;
    double now = clock_seconds();
    if (now - c->sent < message_every && p->step != p->steps) return;
    c->sent = now;
    trainer_message m = {.kind = TRAINER_ITERATION, .epoch = p->row->epoch, .epochs = p->row->epochs, .step = p->step};
    m.steps = p->steps;
    m.loss = p->loss;
    m.images_per_s = p->images_per_s;
    m.memory = memory_now();
    tell(c, &m);
}

static void on_validated(void *state, const training_validated *v)
{
    static const char *const keys[RESULT_COUNT] = {"precision", "recall",   "map50",   "map",
                                                   "box_loss",  "obj_loss", "cls_loss"};
    trainer_message m = {.kind = TRAINER_EPOCH, .epoch = v->epoch};
    for (int i = 0; i < RESULT_COUNT; i++) metrics_add(&m.metrics, keys[i], v->results[i]);
    metrics_add(&m.metrics, "fitness", v->fitness);
    tell(state, &m);
}

static training_wish on_wish(void *state)
{
    return ((candidate *)state)->stop ? WISH_STOP : WISH_NONE;
}

/* ---- the work ---- */

typedef struct work {
    train_options options;
    option_section section;
    double hyps[HYP_COUNT];
    data_yaml data;
    training_request request;
} work;

static status read_start(work *w, const trainer_message *m, const char *device, long long threads,
                         trainer_reason *reason)
{
    hyp_space space;
    hyp_space_default(&space);
    *reason = REASON_REFUSED;
    TRY(map_unpack_options(m->options.data, m->options.count, train_rows, TRAIN_ROWS, &w->options, NULL));
    TRY(map_unpack_hyps(m->hyps.data, m->hyps.count, &space, w->hyps));
    TRY(hyp_check(&space, w->hyps));
    if (*device) TRY(options_set(options_find(train_rows, TRAIN_ROWS, "device"), &w->options, device, "--device"));
    if (threads) w->options.threads = threads;
    /* A candidate trains a model of its own, or starts from weights that the worker has put where the options say. */
    TRY(options_set(options_find(train_rows, TRAIN_ROWS, "cfg"), &w->options, m->model && *m->model ? "model.yaml" : "",
                    "model"));
    if (!*w->options.cfg && !*w->options.weights) return FAIL(ERR_ARGUMENT, "neither a model nor weights were sent");
    TRY(train_options_complete(&w->options, NULL));
    *reason = REASON_DATA;
    TRY(data_yaml_parse("data", m->data ? m->data : "", m->data_root ? m->data_root : "", &w->data));
    *reason = REASON_ERROR;
    TRY(fs_make_folders(m->folder, 0777));
    w->request = (training_request){.options = &w->options, .hyps = w->hyps, .data = &w->data, .candidate = true};
    w->request.model_name = "model";
    w->request.model_yaml = m->model && *m->model ? m->model : NULL;
    w->request.folder = m->folder;
    return OK;
}

static void report(const candidate *c, status s, const training_result *r, trainer_reason reason, char *folder)
{
    trainer_message m = {.kind = TRAINER_DONE,
                         .result_count = RESULT_COUNT,
                         .seconds = r->seconds,
                         .memory = peak_memory()};
    memcpy(m.results, r->results, sizeof m.results);
    m.folder = folder;
    if (s == ERR_STOPPED) {
        m = (trainer_message){.kind = TRAINER_STOPPED, .epoch = c->epoch};
    } else if (s != OK) {
        m = (trainer_message){.kind = TRAINER_FAILED, .reason = reason, .detail = (char *)status_message()};
        log_error("%s", status_message());
    }
    tell(c, &m);
}

static void train(candidate *c, trainer_message *start, const char *device, long long threads)
{
    work w = {.section = train_section(&w.options, NULL)};
    training_watch watch = {c, on_ready, on_epoch, on_progress, on_validated, on_wish};
    training_result result = {0};
    trainer_reason reason = REASON_ERROR;
    status s = options_defaults(&w.section, 1);
    if (s == OK) s = read_start(&w, start, device, threads, &reason);
    if (s == OK) s = training_run(&w.request, &watch, &result, &reason);
    report(c, s, &result, reason, start->folder);
    data_yaml_free(&w.data);
    options_free(&w.section, 1);
}

status candidate_run(int descriptor, const char *device, long long threads)
{
    candidate c = {.descriptor = descriptor};
    trainer_message start;
    pthread_t listener;
    TRY(trainer_reader_create(descriptor, &c.reader));
    status s = trainer_receive(c.reader, &start);
    if (s != OK) {
        trainer_reader_destroy(&c.reader);
        return status_context(s, "waiting for the worker");
    }
    if (start.kind != TRAINER_START || !start.folder) s = FAIL(ERR_PROTOCOL, "the worker did not begin with 'start'");
    if (s == OK && pthread_create(&listener, NULL, listen_to_worker, &c)) s = FAIL(ERR_MEMORY, "cannot start a thread");
    if (s == OK) train(&c, &start, device, threads);
    trainer_message_free(&start);
    return s; /* the listener still reads; the process ends now */
}
