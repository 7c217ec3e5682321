/* owner.h - who leads a run on a file system that several machines see.
 *
 * A lock may hold on one machine only there. So the coordinator also keeps RUN/owner.N: its process and host, its machine's boot, and a
 * number that it raises every few seconds. Another one watches that file: when the number rises the run is led, and when it has not risen
 * for long the file owner.N+1 is made, which one alone can do, and which whoever led before finds when it comes back. No clocks are
 * compared. */
#ifndef COORDINATOR_OWNER_H
#define COORDINATOR_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

typedef struct owner owner;

typedef struct owner_options {
    int64_t renew_ms, stale_ms,
        look_ms;      /* the number is raised; it has not risen for too long; one that watches looks */
    const char *boot; /* of this machine; NULL: as the system says */
} owner_options;
extern const owner_options owner_options_default;

/* Lead the run in this folder, whose lock on this machine the caller has. Returns at once when nobody else does, or was led from here,
 * else within stale_ms: ERR_BUSY naming process and host of one that is alive. ERR_STOPPED when a signal comes; ERR_IO, ERR_NO_SPACE. */
status owner_take(const char *folder, const owner_options *options, owner **out);
/* Raise the number, if it is time to. Call before what was decided is committed: ERR_REFUSED when another coordinator leads the run by now,
 * and nothing more may be written. ERR_IO. */
status owner_renew(owner *o, int64_t now_ms);
/* Let go: the file is removed unless it is another's. */
void owner_leave(owner **o);

/* Is there a file of an owner, alive or not? */
bool owner_exists(const char *folder);
/* Do several machines see this folder: is it recognised as such, or was a coordinator told so that has left its file? */
bool owner_is_needed(const char *folder);
/* Who was said to lead, "process 12 on node3"; NULL: nobody, or that cannot be read. The caller frees. */
char *owner_name(const char *folder);

#endif
