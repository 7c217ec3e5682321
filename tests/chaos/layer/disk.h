/* disk.h - a disk that fails at its n-th step, and forgets what was not synced when the power goes.
 *
 * calls.c stands in the place of the C library's open, write, rename, fsync and the like, for this program and for its libraries
 * (SQLite). What happens below one folder is counted, a step each, and remembered as disk.c says; everything else goes through.
 *
 *   eio    step N fails once
 *   sync   the N-th sync fails once. What it should have made last never will be, and later ones report success, as on Linux
 *   full   from step N on there is no space, for DISK_FULL_MS; the first write is cut short
 *   none   the power goes at step N, and of what was not synced nothing is left
 *   all    ... all is left, but for the second half of the last write
 *   some   ... by chance some of the 512-byte sectors, and some of the changes of names
 *   kill   the process ends at step N as by kill -9, and the files stay as they are
 *
 * A name (of a new file, after a rename, without a removed one) lasts when its folder was synced, contents when the file was.
 * Making and removing folders lasts at once. What other processes do to the files is not known here. */
#ifndef CHAOS_DISK_H
#define CHAOS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef enum disk_fault {
    DISK_FINE,
    DISK_EIO,
    DISK_SYNC,
    DISK_FULL,
    DISK_NONE,
    DISK_ALL,
    DISK_SOME,
    DISK_KILL,
    DISK_FAULTS
} disk_fault;
enum { DISK_FULL_MS = 700 };

/* From now on, below this folder (absolute, without links). DISK_FINE only counts. */
void disk_set(const char *folder, disk_fault fault, long at);
/* By the name above; DISK_FAULTS when it is none. */
disk_fault disk_fault_find(const char *name);
long disk_steps(void);
/* At once, not at a step. */
void disk_power_goes(disk_fault how) __attribute__((noreturn));

/* ---- for calls.c: what a disk would hold ---- */

typedef struct disk_node disk_node; /* contents of a file, whatever its name */

/* Is it the folder, or below it? */
bool disk_watches(const char *path);
/* The node of a file that is open, or of a path; made, with what lies there now as its lasting contents, if it was not known. `created`:
 * neither name nor contents last. NULL: it is not a file. */
disk_node *disk_node_open(const char *path, int descriptor, bool created);
disk_node *disk_node_named(const char *path);
/* Changes that last when they are synced. A truncation has bytes NULL, and `at` is the new size. */
void disk_change(disk_node *n, const void *bytes, size_t count, off_t at);
void disk_sync_node(disk_node *n);
/* A failed one: what was waiting for it never lasts. */
void disk_lose_node(disk_node *n);
void disk_sync_folder(const char *folder);
void disk_rename(const char *from, const char *to);
void disk_remove(const char *path);
/* The files become what `how` (none, all, some) leaves of them. */
void disk_cut(disk_fault how, long seed);

#endif
