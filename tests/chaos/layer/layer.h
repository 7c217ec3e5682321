/* layer.h - what stands between a program of the chaos tests and the system, and how it is told what to do.
 *
 * Linked into coordinator and worker by `make FAULTS=1`. Without these variables in the environment it does nothing.
 *
 *   CHAOS_HISTORY  a file to which each place that is reached, and each fault that happens, adds a line; fields end with tabs:
 *                    microseconds of the machine's monotonic clock, CHAOS_WHO, the place or `killed`, `stopped`, `disk ...`,
 *                    candidate, attempt, epoch (0 0 0: none), words
 *   CHAOS_WHO      "coordinator.2", "worker 0.1": which process of the run, and its how manieth start
 *   CHAOS_KILL     "PLACE|N": end as by kill -9 when the place is reached for the n-th time
 *   CHAOS_STOP     the same for SIGSTOP
 *   CHAOS_DISK     "FOLDER|FAULT|N": the disk below the folder fails at its n-th step; see disk.h
 *   CHAOS_POWER    "PLACE|N|HOW": the power goes when the place is reached for the n-th time, and the disk keeps what HOW says (none,
 *                  all, some)
 *   CHAOS_CLOCK    a file of two int64_t: milliseconds that are added to the wall clock, and to the monotonic one */
#ifndef CHAOS_LAYER_H
#define CHAOS_LAYER_H

#include <stddef.h>
#include <stdint.h>

/* Add a line to the history. */
void layer_note(const char *what, int64_t candidate, int64_t attempt, uint64_t epoch, const char *words);
/* Nothing of this process happens any more. */
void layer_kill(void) __attribute__((noreturn));
/* Split "A|B|3" in place; false when it does not have so many parts. */
int layer_split(char *line, char *parts[], size_t count);

#endif
