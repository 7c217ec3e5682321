/* standin: speaks the trainer's pipe as `train` does, and trains nothing.
 *
 * CHAOS_TRAINING="MS|FAILING|STOPPING" says how long a training takes, and how many of a hundred fail (crash, error, nan) or stop by
 * themselves. P, R and mAP come from the hyps, so that the same candidate has the same fitness wherever it is trained; the losses
 * are drawn anew every time, so that no two trainings have the same results, and it shows whose results count.
 *
 * The files that it leaves begin with the hash of the rest, and one that it is to go on from has to be whole. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/rng.h"
#include "common/text.h"
#include "proto/trainer.h"

enum { EPOCHS = 2, STEP_MS = 20, GONE = 75, FILE_BYTES = 100000 };

typedef struct training {
    int pipe;
    trainer_reader *reader;
    trainer_message start;
    keyed_rng draw;
    long ms, failing, stopping;
} training;

static void say(const training *t, trainer_message m)
{
    if (trainer_send(t->pipe, &m) != OK) exit(GONE);
}

static void read_plan(training *t)
{
    const char *plan = getenv("CHAOS_TRAINING");
    uint64_t seed;
    t->ms = 60;
    if (plan) sscanf(plan, "%ld|%ld|%ld", &t->ms, &t->failing, &t->stopping);
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) exit(GONE);
    keyed_seed(&t->draw, seed, 0, 0);
}

static void find_results(training *t, double results[RESULT_COUNT])
{
    keyed_rng of_hyps;
    keyed_seed(&of_hyps, XXH3_64bits(t->start.hyps.data, t->start.hyps.count), 0, 0);
    for (int i = 0; i < RESULT_COUNT; i++) results[i] = i < 4 ? keyed_random(&of_hyps) : keyed_random(&t->draw);
}

static void say_stopped(training *t, int64_t epoch)
{
    trainer_message m = {.kind = TRAINER_STOPPED, .epoch = epoch, .result_count = RESULT_COUNT};
    find_results(t, m.results);
    say(t, m);
    exit(0);
}

/* Hash and bytes, none like another. */
static void leave_file(training *t, const char *path)
{
    char *bytes = malloc(FS_HASH_ROOM + FILE_BYTES);
    if (!bytes || fs_make_folders(t->start.folder, 0777) != OK) exit(GONE);
    for (size_t i = 0; i < FILE_BYTES; i++) bytes[FS_HASH_ROOM + i] = (char)keyed_next(&t->draw);
    fs_hash_bytes(bytes + FS_HASH_ROOM, FILE_BYTES, bytes);
    if (fs_write(path, bytes, FS_HASH_ROOM + FILE_BYTES) != OK) exit(GONE);
    free(bytes);
}

static bool is_whole(const char *path)
{
    char *bytes = NULL, hash[FS_HASH_ROOM];
    size_t count;
    bool whole = fs_read(path, 0, &bytes, &count) == OK && count > FS_HASH_ROOM;
    if (whole) fs_hash_bytes(bytes + FS_HASH_ROOM, count - FS_HASH_ROOM, hash);
    whole = whole && !memcmp(hash, bytes, FS_HASH_ROOM);
    free(bytes);
    return whole;
}

static void leave_checkpoint(training *t, int64_t epoch, int64_t step)
{
    char *path = path_join(t->start.folder, "checkpoint.pt");
    if (!path) exit(GONE);
    leave_file(t, path);
    say(t, (trainer_message){.kind = TRAINER_CHECKPOINTED, .path = path, .epoch = epoch, .step = step});
    free(path);
}

/* Wait for what the worker may say; ends with it. */
static void listen_for(training *t, int64_t until_ms, int64_t epoch, int64_t step)
{
    for (int64_t left; (left = until_ms - clock_ms()) > 0;) {
        struct pollfd pipe = {t->pipe, POLLIN, 0};
        trainer_message m;
        if (poll(&pipe, 1, (int)left) <= 0) continue;
        if (trainer_receive(t->reader, &m) != OK) exit(GONE);
        if (m.kind == TRAINER_STOP) say_stopped(t, epoch);
        if (m.kind == TRAINER_CHECKPOINT) leave_checkpoint(t, epoch, step);
        trainer_message_free(&m);
    }
}

static void fail_somehow(training *t)
{
    fprintf(stderr, "this is to fail\n");
    switch (keyed_below(&t->draw, 3)) {
    case 0: raise(SIGKILL); break;
    case 1:
        say(t, (trainer_message){.kind = TRAINER_FAILED, .reason = REASON_NAN, .detail = (char *)"not finite"});
        break;
    default: say(t, (trainer_message){.kind = TRAINER_FAILED, .reason = REASON_ERROR, .detail = (char *)"no luck"});
    }
    exit(1);
}

static void train(training *t)
{
    if (t->start.resume && !is_whole(t->start.resume)) {
        char *words = (char *)"a damaged checkpoint";
        say(t, (trainer_message){.kind = TRAINER_FAILED, .reason = REASON_DATA, .detail = words});
        exit(1);
    }
    long fate = (long)keyed_below(&t->draw, 100), steps = t->ms / EPOCHS / STEP_MS + 1;
    int64_t next_ms = clock_ms();
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        for (int64_t step = 0; step < steps; step++) {
            trainer_message m = {.kind = TRAINER_ITERATION, .epoch = epoch, .epochs = EPOCHS, .step = step};
            m.steps = steps;
            m.loss = keyed_random(&t->draw);
            say(t, m);
            next_ms += t->ms / EPOCHS / steps;
            listen_for(t, next_ms, epoch, step);
        }
        trainer_message m = {.kind = TRAINER_EPOCH, .epoch = epoch};
        metrics_add(&m.metrics, "fitness", 0.5);
        say(t, m);
        if (epoch == 0 && fate < t->failing) fail_somehow(t);
        if (epoch == 0 && fate < t->failing + t->stopping) say_stopped(t, epoch);
    }
    if (t->start.path) leave_file(t, t->start.path);
    trainer_message done = {.kind = TRAINER_DONE, .result_count = RESULT_COUNT, .folder = t->start.folder};
    done.seconds = (double)t->ms / 1000;
    find_results(t, done.results);
    say(t, done);
}

int main(int argc, char **argv)
{
    training t = {.pipe = -1};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--probe")) {
            puts("device=cpu stand-in precision=fp32 threads=1 memory=1000000 supports=fp32,bf16");
            return 0;
        }
        if (!strcmp(argv[i], "--candidate-fd") && i + 1 < argc) t.pipe = atoi(argv[i + 1]);
    }
    read_plan(&t);
    if (trainer_reader_create(t.pipe, &t.reader) != OK || trainer_receive(t.reader, &t.start) != OK) return GONE;
    say(&t, (trainer_message){.kind = TRAINER_HELLO,
                              .device = (char *)"cpu stand-in",
                              .threads = 1,
                              .precision = (char *)"fp32",
                              .version = (char *)MENDEL_VERSION});
    train(&t);
    trainer_reader_destroy(&t.reader);
    trainer_message_free(&t.start);
    return 0;
}
