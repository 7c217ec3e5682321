/* trial.h - one trainer process: started, listened to, asked to stop, killed, reaped.
 *
 * Nothing here waits. The owner polls the descriptors of trial_poll, then takes messages with trial_next until ERR_TIMEOUT. The
 * last message is always one of done, stopped and failed, and comes exactly once, whatever becomes of the process: where the
 * trainer does not send it, the trial makes it up (crash, stall, killed after a stop). */
#ifndef WORKER_TRIAL_H
#define WORKER_TRIAL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "proto/trainer.h"
#include "worker/tail.h"

typedef struct trial trial;

typedef struct trial_spec {
    const char *program; /* path of `train`; with a command that of this program, which speaks for it (external.h) */
    const char *command; /* an external trainer's; NULL: Mendel's own */
    const char *device;  /* for its --device: "cpu", "0", "0,1" */
    int64_t threads;     /* its share of the cores */
    int64_t stall_ms;    /* without a message for so long it is killed */
} trial_spec;

/* Start a trainer, in a process group of its own, and give it its start message (borrowed). All of *spec is copied. */
status trial_start(const trial_spec *spec, const trainer_message *start, int64_t now_ms, trial **out);
/* Kill what still runs, reap it, free all, set *t to NULL. May wait the moment that a kill takes. */
void trial_destroy(trial **t);

/* What to poll for: up to TRIAL_POLLS items; returns how many. */
enum { TRIAL_POLLS = 2 };
int trial_poll(const trial *t, struct pollfd items[TRIAL_POLLS]);
/* When to look again, even if nothing is readable. */
int64_t trial_deadline_ms(const trial *t);

/* The next message in *out (the caller frees it with trainer_message_free). ERR_TIMEOUT: none for now. */
status trial_next(trial *t, int64_t now_ms, trainer_message *out);
/* The last message has been given and the process is gone. */
bool trial_over(const trial *t);

/* Ask for a checkpoint; `checkpointed` answers. */
void trial_checkpoint(trial *t);
/* Ask to stop; killed after grace_ms. `stopped` (or done, failed) comes. A shorter grace than an earlier one counts. */
void trial_stop(trial *t, int64_t now_ms, int64_t grace_ms);
/* At once. The message that then comes says stopped. */
void trial_kill(trial *t);
/* Time that passed while this process itself did not run: nobody's silence counts. */
void trial_forgive(trial *t, int64_t ms);

/* What the trainer printed. Borrowed. */
const tail *trial_log(const trial *t);
/* Most memory the process had, in bytes, once it is over; 0 if unknown. */
int64_t trial_peak_memory(const trial *t);

#endif
