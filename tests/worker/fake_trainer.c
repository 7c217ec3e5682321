/* fake_trainer: speaks the trainer's pipe, trains nothing, and misbehaves as fake_trainer.h lists. */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/text.h"
#include "proto/trainer.h"
#include "tests/worker/fake_trainer.h"

static int descriptor = -1;
static trainer_message start;

static void say(trainer_message m)
{
    if (trainer_send(descriptor, &m) != OK) exit(75);
}

static void iterate(int64_t step)
{
    say((trainer_message){.kind = TRAINER_ITERATION,
                          .epoch = 2,
                          .epochs = 3,
                          .step = step,
                          .steps = 100,
                          .loss = 1.5,
                          .memory = 1000});
}

/* A file somewhere, in a folder that is there. */
static void write_file(const char *path, const char *contents)
{
    if (fs_write(path, contents, strlen(contents)) != OK) exit(76);
}

static void say_done(void)
{
    if (start.path && start.seed != FAKE_NO_WEIGHTS) write_file(start.path, FAKE_WEIGHTS);
    trainer_message epoch = {.kind = TRAINER_EPOCH, .epoch = 2};
    metrics_add(&epoch.metrics, "fitness", 0.5);
    say(epoch);
    trainer_message done = {.kind = TRAINER_DONE, .result_count = RESULT_COUNT, .results = FAKE_RESULTS, .seconds = 1};
    done.memory = 12345;
    done.folder = start.folder;
    if (start.seed == FAKE_NOT_FINITE) done.results[2] = NAN;
    say(done);
}

/* A file in the trial's folder. */
static void leave_file(const char *name, const char *contents)
{
    char *path = path_join(start.folder, name);
    if (!path || fs_make_folders(start.folder, 0777) != OK) exit(76);
    write_file(path, contents);
    free(path);
}

/* What it was started with, for the test to look at. */
static void leave_record(int argc, char **argv)
{
    text line = {0};
    const char *omp = getenv("OMP_NUM_THREADS");
    text_add(&line, "pid %ld group %ld omp %s", (long)getpid(), (long)getpgrp(), omp ? omp : "none");
    for (int i = 1; i < argc; i++) text_add(&line, " %s", argv[i]);
    text_add(&line, " resume %s", start.resume ? start.resume : "none");
    leave_file("started", text_string(&line));
    text_free(&line);
}

static void spam(void)
{
    char line[4096];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 1000; i++) {
        fprintf(stderr, "line %d \xff\x1b[31m\n", i);
        for (int k = 0; k < 2; k++)
            if (fwrite(line, sizeof line, 1, i % 2 ? stderr : stdout) != 1) exit(77);
        if (i % 100 == 0) fputc('\n', stderr); /* the others have no end */
    }
    fprintf(stderr, "\nthe last line");
}

/* Train until stop, or until `go` lies there. Answers checkpoints. */
static void train(trainer_reader *reader, bool deaf)
{
    char *go = path_join(start.folder, "go"), *checkpoint = path_join(start.folder, "checkpoint.pt");
    for (int64_t step = 0; !(start.seed == FAKE_WAIT && fs_exists(go)); step++) {
        struct pollfd asked = {descriptor, POLLIN, 0};
        trainer_message m;
        iterate(step);
        if (poll(&asked, 1, 20) <= 0) continue;
        status s = trainer_receive(reader, &m);
        if (s != OK) exit(75);
        if (m.kind == TRAINER_STOP && !deaf) {
            trainer_message stopped = {.kind = TRAINER_STOPPED,
                                       .epoch = 2,
                                       .result_count = RESULT_COUNT,
                                       .results = FAKE_RESULTS};
            say(stopped);
            exit(0);
        }
        if (m.kind == TRAINER_CHECKPOINT && !deaf) {
            leave_file("checkpoint.pt", FAKE_CHECKPOINT);
            say((trainer_message){.kind = TRAINER_CHECKPOINTED, .path = checkpoint, .epoch = 2, .step = step});
        }
        trainer_message_free(&m);
    }
    free(go);
    free(checkpoint);
    say_done();
}

static void wait_for_ever(void)
{
    for (;;) pause();
}

static void behave(trainer_reader *reader)
{
    switch ((fake)start.seed) {
    case FAKE_ABORT: abort();
    case FAKE_KILLED: kill(getpid(), SIGKILL); break;
    case FAKE_EXIT: fprintf(stderr, "this is why\n"); exit(7);
    case FAKE_STALL:
        signal(SIGTERM, SIG_IGN);
        wait_for_ever();
        break;
    case FAKE_SPAM:
        spam();
        say_done();
        break;
    case FAKE_CLOSE:
        close(descriptor);
        wait_for_ever();
        break;
    case FAKE_PARTIAL:
        fprintf(stderr, "a whole line\rhalf a li");
        fflush(stderr);
        say((
            trainer_message){.kind = TRAINER_FAILED, .reason = REASON_NAN, .detail = (char *)"the loss is not finite"});
        break;
    case FAKE_NONSENSE:
        if (write(descriptor, "\0\0\0\4abcd", 8) != 8) exit(77);
        wait_for_ever();
        break;
    case FAKE_ORPHAN:
        if (fork() == 0) wait_for_ever();
        exit(3);
    case FAKE_TRAIN:
    case FAKE_WAIT: train(reader, false); break;
    case FAKE_DEAF: train(reader, true); break;
    case FAKE_LINGER:
        say_done();
        wait_for_ever();
        break;
    default: iterate(1); say_done();
    }
}

/* `--probe`: this machine has as many GPUs as FAKE_GPUS says. */
static int print_probe(const char *device)
{
    const char *gpus = getenv("FAKE_GPUS");
    if (strcmp(device, "cpu") && atoi(device) >= (gpus ? atoi(gpus) : 0)) {
        fprintf(stderr, "loading\nerror: --device %s: this machine has no such GPU\n", device);
        return 1;
    }
    printf("device=Fake 9000, %s precision=bf16 threads=2 memory=1000000 supports=fp32,bf16\n", device);
    return 0;
}

int main(int argc, char **argv)
{
    const char *device = "cpu";
    bool probe = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--probe")) probe = true;
        if (!strcmp(argv[i], "--device") && i + 1 < argc) device = argv[i + 1];
        if (!strcmp(argv[i], "--candidate-fd") && i + 1 < argc) descriptor = atoi(argv[i + 1]);
    }
    if (probe) return print_probe(device);
    trainer_reader *reader;
    if (trainer_reader_create(descriptor, &reader) != OK || trainer_receive(reader, &start) != OK) return 75;
    leave_record(argc, argv);
    say((trainer_message){.kind = TRAINER_HELLO,
                          .device = (char *)"Fake 9000",
                          .threads = 2,
                          .precision = (char *)"bf16",
                          .version = (char *)MENDEL_VERSION});
    behave(reader);
    trainer_reader_destroy(&reader);
    trainer_message_free(&start);
    return 0;
}
