#include "worker/train/candidate.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
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
#include "worker/train/devices.h"
#include "worker/train/training.h"

/* At most two progress messages a second go to the worker. */
static const double message_every = 0.5;

enum { EXIT_ABANDONED = 75 };

static const char checkpoint_name[] = "checkpoint.pt";

typedef struct candidate {
    int descriptor;
    trainer_reader *reader; /* the listener's, once that runs */
    atomic_bool stop, save; /* asked for by the worker */
    atomic_bool over;       /* the last message is sent: the worker may close the pipe */
    double sent;            /* clock_seconds of the last iteration message */
    trainer_message last;   /* that message, owning nothing: sent again while a validation runs */
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
        if (m.kind == TRAINER_CHECKPOINT) c->save = true;
        trainer_message_free(&m);
    }
    if (!c->over) _exit(EXIT_ABANDONED);
    return NULL;
}

/* ---- reporting ---- */

static void tell(const candidate *c, const trainer_message *m)
{
    if (trainer_send(c->descriptor, m) != OK) log_debug("%s", status_message()); /* the listener ends the process */
}

static void on_opened(void *state, const device_info *device, precision p)
{
    trainer_message m = {.kind = TRAINER_HELLO, .threads = device->threads, .version = (char *)MENDEL_VERSION};
    m.device = (char *)device->name;
    m.precision = (char *)precision_name(p);
    tell(state, &m);
}

static void on_epoch(void *state, int64_t epoch, int64_t batches)
{
    (void)batches;
    ((candidate *)state)->epoch = epoch;
}

static void tell_iteration(candidate *c)
{
    double now = clock_seconds();
    if (now - c->sent < message_every) return;
    c->sent = now;
    c->last.memory = memory_now();
    tell(c, &c->last);
}

static void on_progress(void *state, const training_progress *p)
{
    candidate *c = state;
    c->last = (trainer_message){.kind = TRAINER_ITERATION, .epoch = p->row->epoch, .epochs = p->row->epochs};
    c->last.step = p->step;
    c->last.steps = p->steps;
    c->last.loss = p->loss;
    c->last.images_per_s = p->images_per_s;
    tell_iteration(c);
}

/* A long validation is no stall. */
static void on_validating(void *state)
{
    candidate *c = state;
    if (c->last.kind == TRAINER_ITERATION) tell_iteration(c);
}

static void on_saved(void *state, const training_saved *saved)
{
    trainer_message m = {.kind = TRAINER_CHECKPOINTED, .epoch = saved->epoch, .step = saved->step};
    m.path = (char *)(saved->path ? saved->path : "");
    tell(state, &m);
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

static unsigned on_wish(void *state)
{
    candidate *c = state;
    unsigned stop =
        c->stop ? WISH_STOP : WISH_NONE; /* read first: what was asked for before the stop is done before it */
    return stop | (atomic_exchange(&c->save, false) ? WISH_SAVE : WISH_NONE);
}

/* ---- the work ---- */

typedef struct work {
    train_options options;
    bool given[TRAIN_ROWS];
    option_section section;
    double hyps[HYP_COUNT];
    data_yaml data;
    char *checkpoint;
    training_request request;
} work;

static status set(work *w, const char *name, const char *value)
{
    return options_set(options_find(train_rows, TRAIN_ROWS, name), &w->options, value, name);
}

/* What the coordinator decided, completed there already, and this machine's share. */
static status read_options(work *w, const trainer_message *m, const char *device, long long threads)
{
    TRY(set(w, "weights", ""));
    TRY(map_unpack_options(m->options.data, m->options.count, train_rows, TRAIN_ROWS, &w->options, NULL));
    if (*device) TRY(set(w, "device", device));
    if (threads) w->options.threads = threads;
    if (m->seed > UINT32_MAX) return FAIL(ERR_RANGE, "seed %lld: 0 to %u was expected", (long long)m->seed, UINT32_MAX);
    w->options.seed = m->seed;
    /* A resumed training takes model and anchors from its checkpoint; others train the model that was sent, or that of the
     * weights that the worker has put where the options say. */
    if (!*m->model || m->resume) TRY(set(w, "cfg", ""));
    else if (!*w->options.cfg) TRY(set(w, "cfg", "model yaml"));
    if (m->resume) TRY(set(w, "weights", m->resume));
    if (!*w->options.cfg && !*w->options.weights) return FAIL(ERR_ARGUMENT, "neither a model nor weights were sent");
    memset(w->given, true, sizeof w->given);
    return train_options_complete(&w->options, w->given);
}

static status read_hyps(work *w, const trainer_message *m)
{
    hyp_space space;
    hyp_space_default(&space);
    return map_unpack_hyps(m->hyps.data, m->hyps.count, &space, w->hyps);
}

static status read_start(work *w, const trainer_message *m, const char *device, long long threads,
                         trainer_reason *reason)
{
    *reason = REASON_REFUSED;
    TRY(read_options(w, m, device, threads));
    TRY(read_hyps(w, m));
    *reason = REASON_DATA;
    TRY(data_yaml_parse("data yaml", m->data, m->data_root, &w->data));
    *reason = REASON_ERROR;
    if (!*m->folder) return FAIL(ERR_ARGUMENT, "the worker sent no folder for the results");
    TRY(fs_make_folders(m->folder, 0777));
    w->checkpoint = path_join(m->folder, checkpoint_name);
    if (!w->checkpoint) return FAIL(ERR_MEMORY, "out of memory");
    w->request = (training_request){.options = &w->options,
                                    .hyps = w->hyps,
                                    .data = &w->data,
                                    .model_name = w->options.cfg,
                                    .model_yaml = *w->options.cfg ? m->model : NULL,
                                    .folder = m->folder,
                                    .checkpoint = w->checkpoint,
                                    .resume = m->resume,
                                    .candidate = true,
                                    .weights = m->path};
    return OK;
}

static void report(candidate *c, status s, const training_result *r, trainer_reason reason, char *folder)
{
    trainer_message m = {.kind = TRAINER_DONE, .result_count = RESULT_COUNT, .seconds = r->seconds};
    memcpy(m.results, r->results, sizeof m.results);
    m.memory = peak_memory();
    m.folder = folder;
    if (s == ERR_STOPPED) {
        m.kind = TRAINER_STOPPED;
        m.result_count = r->validated ? RESULT_COUNT : 0;
        m.epoch = c->epoch;
    } else if (s != OK) {
        m = (trainer_message){.kind = TRAINER_FAILED, .reason = reason, .detail = (char *)status_message()};
        log_error("%s", status_message());
    }
    c->over = true;
    tell(c, &m);
}

static void train(candidate *c, const trainer_message *start, const char *device, long long threads, ranks *r)
{
    work w = {.section = train_section(&w.options, w.given)};
    training_watch watch = {c, on_opened, on_epoch, on_progress, on_validating, on_validated, on_saved, on_wish};
    training_result result = {0};
    trainer_reason reason = REASON_ERROR;
    status s = options_defaults(&w.section, 1);
    if (s == OK) s = read_start(&w, start, device, threads, &reason);
    w.request.ranks = r;
    if (s == OK) s = training_run(&w.request, &watch, &result, &reason);
    ranks_end(&r, s); /* others than rank 0 end here */
    report(c, s, &result, s == ERR_MEMORY ? REASON_MEMORY : reason, start->folder);
    data_yaml_free(&w.data);
    options_free(&w.section, 1);
    free(w.checkpoint);
}

/* A scheduler that wants its machine back tells every process of a job. It is the worker that answers: it asks for a checkpoint. */
static void leave_signals_to_the_worker(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_IGN);
}

/* The listener outlives the call, and with it what both share: it is not on this thread's stack, and is never freed. */
static candidate the_candidate;

status candidate_run(int descriptor, const char *device, long long threads)
{
    candidate *c = &the_candidate;
    trainer_message start;
    pthread_t listener;
    ranks *r = NULL;
    int devices = 1;
    leave_signals_to_the_worker();
    c->descriptor = descriptor;
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC)) return FAIL(ERR_ARGUMENT, "--candidate-fd %d is not open", descriptor);
    TRY(trainer_reader_create(descriptor, &c->reader));
    status s = trainer_receive(c->reader, &start);
    if (s != OK) {
        trainer_reader_destroy(&c->reader);
        return status_context(s, "waiting for the worker");
    }
    if (start.kind != TRAINER_START) s = FAIL(ERR_PROTOCOL, "the worker did not begin with 'start'");
    if (s == OK) s = devices_count(device, &devices);
    if (s == OK) s = ranks_fork(devices, descriptor, &r); /* before there is a second thread */
    bool first = ranks_number(r) == 0;
    if (s == OK && first && pthread_create(&listener, NULL, listen_to_worker, c))
        s = FAIL(ERR_MEMORY, "cannot start a thread");
    if (s == OK) train(c, &start, device, threads, r);
    trainer_message_free(&start);
    return s; /* the listener still reads; the process ends now */
}
