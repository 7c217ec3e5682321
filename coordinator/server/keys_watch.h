/* keys_watch.h - the list of worker keys as it is now: read again whenever the file has been replaced.
 *
 * Looking costs one stat(2). A list that cannot be read lets nobody in. For one thread; another one has a watch of its own. */
#ifndef COORDINATOR_KEYS_WATCH_H
#define COORDINATOR_KEYS_WATCH_H

#include "coordinator/server/keys.h"

typedef struct keys_watch keys_watch;

/* ERR_MEMORY. The file need not be there yet. */
status keys_watch_create(const char *run_folder, keys_watch **out);
void keys_watch_destroy(keys_watch **w);
/* The entry of a public key, or NULL: it is not to be let in. Borrowed until the next call. */
const worker_key *keys_watch_find(keys_watch *w, const char *public_key);
/* Has another list been read since this was last asked? */
bool keys_watch_changed(keys_watch *w);
/* Why the list cannot be read; NULL: it can. Borrowed. */
const char *keys_watch_problem(const keys_watch *w);

#endif
