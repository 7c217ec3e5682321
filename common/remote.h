/* remote.h - files in a folder elsewhere: gs://BUCKET[/FOLDER] by gsutil, any other remote, NAME:PATH, by rclone.
 *
 * A copy is a process of one of these programs, started without a shell and in a process group of its own; nothing here waits for it.
 * The address comes from a command line and is checked, so that it is never taken for an option. */
#ifndef COMMON_REMOTE_H
#define COMMON_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/* Is this an address, and is its program here? ERR_ARGUMENT, ERR_NOT_FOUND, with a sentence. */
status remote_check(const char *address);

typedef struct remote_copy remote_copy;

/* Start to copy the remote's file `name` (which may have folders in it) to a path, or a path there. Paths are absolute. It is killed
 * after timeout_ms. ERR_IO, ERR_MEMORY. */
status remote_get(const char *address, const char *name, const char *to, int64_t timeout_ms, remote_copy **out);
status remote_put(const char *address, const char *from, const char *name, int64_t timeout_ms, remote_copy **out);

typedef enum remote_state {
    REMOTE_RUNNING,
    REMOTE_DONE,
    REMOTE_MISSING, /* there is no such file there */
    REMOTE_FAILED,  /* remote_words says why */
} remote_state;

/* How it stands. Does not wait. */
remote_state remote_follow(remote_copy *c);
/* What went wrong, one line. Borrowed. */
const char *remote_words(const remote_copy *c);
/* Kills it if it still runs, frees all, sets *c to NULL. */
void remote_end(remote_copy **c);

#endif
