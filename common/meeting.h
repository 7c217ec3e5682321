/* meeting.h - where a coordinator and the workers of its own machine meet: one socket file a run.
 *
 * The files lie in $XDG_RUNTIME_DIR/mendel, or in /tmp/mendel-UID where there is no such folder (a login by cron or
 * Slurm has none); workers look into both. The folder belongs to the user alone (0700, no symbolic link), so nobody
 * else can connect, or wait there for somebody to connect.
 *
 *   RUNID.run    pid and absolute run folder, a line each; locked for as long as the coordinator lives
 *   RUNID.sock   the socket; the same for the same run, so that a worker finds a restarted coordinator */
#ifndef COMMON_MEETING_H
#define COMMON_MEETING_H

#include "common/status.h"

typedef struct meeting meeting;

/* Offer a run: lock its file, remove what a killed coordinator has left. `run_id` is letters and digits. ERR_BUSY: another
 * coordinator has the run; ERR_REFUSED: the folder is not the user's alone; ERR_RANGE: its path is too long for a socket. */
status meeting_offer(const char *run_id, const char *run_folder, meeting **out);
/* "ipc:///run/user/1000/mendel/RUNID.sock", to be bound. Borrowed. */
const char *meeting_endpoint(const meeting *m);
/* Remove both files, give the lock back, set *m to NULL. */
void meeting_withdraw(meeting **m);

/* Endpoint of the only live run, or of the one in `run_folder` (NULL: any). ERR_NOT_FOUND when there is none,
 * ERR_ARGUMENT with the run folders when there are several to choose from. The caller frees *endpoint. */
status meeting_find(const char *run_folder, char **endpoint);

#endif
