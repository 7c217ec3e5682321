/* keys.h - who may work for a run over TCP, in the run's folder:
 *
 *   RUN/keys/            0700
 *     coordinator        the coordinator's own pair of keys, made once and never changed: "mendel-keys 1", "public KEY", "secret KEY"
 *     workers            whom it lets in: "mendel-workers 1", then "NAME KEY MILLISECONDS" for each: public key, when it was added
 *     addresses          where the coordinator was to be found at its last start, a line each: for new access files
 *     lock               held while `workers` is changed
 *   RUN/access           access file (proto/access.h) of the key "default", made together with the keys
 *
 * All files are 0600 and are replaced atomically. A worker's secret key is in its access file and nowhere else. A running coordinator
 * sees a change at the next message (keys_watch.h). Keys are made by ZeroMQ (libsodium). */
#ifndef COORDINATOR_KEYS_H
#define COORDINATOR_KEYS_H

#include <stdint.h>

#include "proto/access.h"

enum { KEYS_MOST = 4096 };

typedef struct key_pair {
    char public_key[ACCESS_KEY_ROOM], secret_key[ACCESS_KEY_ROOM];
} key_pair;

typedef struct worker_key {
    char name[ACCESS_NAME_MOST + 1];
    char public_key[ACCESS_KEY_ROOM];
    int64_t added_ms; /* since 1970 */
} worker_key;

typedef struct worker_keys {
    worker_key *items; /* in the order in which they were added */
    size_t count, room;
} worker_keys;

/* A new pair. ERR_UNSUPPORTED: this ZeroMQ has no CURVE. */
status keys_make_pair(key_pair *out);
/* RUN/keys/workers. The caller frees. */
char *keys_workers_path(const char *run_folder);

/* The coordinator's own pair, made when there is none. ERR_REFUSED when the folder or a file is open to others; ERR_FORMAT. The caller
 * wipes *own. */
status keys_open(const char *run_folder, key_pair *own);
/* Once it listens: note the addresses, and write them with the coordinator's public key into RUN/access. The first time, the key "default"
 * is made for it. Later on RUN/access is only brought up to date where it still lies; *has_access says whether it does. */
status keys_publish(const char *run_folder, const key_pair *own, const fs_names *addresses, int64_t wall_ms,
                    bool *has_access);

/* Who may come in. ERR_NOT_FOUND: the run has no keys. The caller frees with worker_keys_free. */
status keys_list(const char *run_folder, worker_keys *out);
/* The same from a file: keys_watch's way. ERR_FORMAT naming file and line. */
status keys_read_workers(const char *path, worker_keys *out);
void worker_keys_free(worker_keys *k);

/* Let one more in: makes its pair and writes its access file to `path`. ERR_ARGUMENT: no name for a key; ERR_EXISTS: the name is taken
 * or the file is there; ERR_NOT_FOUND: the run has no keys yet; ERR_RANGE: too many. */
status keys_add(const char *run_folder, const char *name, const char *path, int64_t wall_ms);
/* Let it in no more. ERR_NOT_FOUND: no such key. */
status keys_revoke(const char *run_folder, const char *name);

/* `coordinator keys add NAME [--out FILE] | revoke NAME | list [--run DIR]`; argv[0] is "keys". Returns the exit status: 0, 1 when it
 * failed, 2 for a bad command line. */
int keys_command(int argc, char **argv);

#endif
