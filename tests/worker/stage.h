/* stage.h - one real worker with fake trainers, and a coordinator that says what a test tells it to.
 *
 * Every test has a folder of its own with a small data set, the coordinator's socket, and the worker's spool, state and cache.
 * Whatever is expected and does not come within a deadline fails the test with what the worker has printed. */
#ifndef TESTS_WORKER_STAGE_H
#define TESTS_WORKER_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "proto/wire.h"
#include "tests/worker/fake_trainer.h"

enum { SENDER_MOST = 64 };

typedef struct stage {
    char *folder, *endpoint, *spool, *data;
    void *context, *router;
    wire_ids ids; /* the run; the session of the last message; the coordinator's epoch */
    unsigned char sender[SENDER_MOST];
    size_t sender_size;
    pid_t worker;
    int printed; /* its stderr */
    char *print;
    size_t print_length, print_room;
    /* what Welcome says */
    int64_t heartbeat_ms, lease_ms, retry_ms, stall_ms;
    Mendel__Token **unwanted;
    size_t unwanted_count;
    char weights_hash[FS_HASH_ROOM];
    const char *weights_path;
    int64_t weights_bytes;
    bool keep_weights;
    bool silent;           /* heartbeats are not answered */
    const char *told_data; /* the data yaml that Welcome brings; NULL: that of the folder's */
    bool other_data;       /* its digests are those of another data set */
} stage;

/* cmocka's setup and teardown: *state is a stage. */
int stage_open(void **state);
int stage_close(void **state);

/* ---- the worker ---- */
/* Start `worker ... ` with these arguments (NULL ends them) behind --train, --spool, --cpu 1. */
void stage_start(stage *s, ...);
void stage_start_here(stage *s); /* the same with --coordinator and this stage's endpoint */
void stage_signal(stage *s, int number);
/* Its exit code, or minus the signal that ended it. */
int stage_wait(stage *s);
/* Wait until the worker has printed this. */
void stage_expect_print(stage *s, const char *words);
bool stage_printed(stage *s, const char *words);

/* ---- the coordinator ---- */
void stage_listen(stage *s); /* bind */
void stage_hang_up(stage *s);
/* The next message, or NULL when none comes in this time. */
envelope *stage_hear(stage *s, int64_t for_ms);
/* The next message of this kind; others are left out. The caller frees it with wire_free. */
envelope *stage_expect(stage *s, envelope_kind kind);
void stage_expect_none(stage *s, envelope_kind kind, int64_t for_ms);
void stage_say(stage *s, envelope_kind kind, void *body);

void stage_welcome(stage *s, bool check);
/* Hello, Welcome with check, Hello with digests, Welcome. */
void stage_greet(stage *s);
/* Expect a WorkRequest and answer it. The attempt's token. */
token stage_give(stage *s, int64_t candidate, fake behaviour);
void stage_answer(stage *s, const Mendel__WorkRequest *request, token t, fake behaviour);
void stage_no_work(stage *s, Mendel__NoWorkReason reason);
void stage_ack(stage *s, token t);
void stage_ack_file(stage *s, token t, Mendel__FileFate fate);
void stage_stop(stage *s, token t, bool unwanted);
/* Expect a delivery of this attempt. Freed by the caller. */
envelope *stage_expect_delivery(stage *s, envelope_kind kind, token t);

/* ---- files ---- */
char *stage_path(const stage *s, const char *name); /* below its folder; the caller frees */
void stage_write(const stage *s, const char *name, const char *contents);
char *stage_read(const stage *s, const char *name); /* NULL if it is not there; the caller frees */
void stage_wait_for_file(stage *s, const char *name);
size_t stage_spooled(const stage *s); /* deliveries in its spool */

#endif
