/* fs.h - files and folders.
 *
 * Paths are strings that the caller frees (path_* return NULL without memory) or borrows. Whatever replaces a file does
 * it atomically: a reader meets the old contents or the new ones, and after a power cut one of the two. */
#ifndef COMMON_FS_H
#define COMMON_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/status.h"

/* ---- names ---- */

/* folder/name; `name` alone when it is absolute or folder is "". The caller frees. */
char *path_join(const char *folder, const char *name);
/* The folder part, "." when there is none; the caller frees. */
char *path_folder(const char *path);
/* The last part: borrowed from `path`. */
const char *path_name(const char *path);
/* The extension with its dot, "" without one: borrowed from `path`. */
const char *path_extension(const char *path);
/* Absolute, without symbolic links or dots; the path must exist. NULL if not. The caller frees. */
char *path_real(const char *path);

/* ---- questions ---- */

bool fs_exists(const char *path);
bool fs_is_file(const char *path);
bool fs_is_folder(const char *path);
/* On a file system of another machine, as far as it is known as one? */
bool fs_on_network(const char *path);
/* Find a file as the reference's check_file does: as given, else anywhere below the working directory by that name
 * (hidden folders left out). ERR_NOT_FOUND if there is none, ERR_ARGUMENT naming the candidates if there are several.
 * Returns the path in *out; the caller frees. */
status fs_find_file(const char *name, char **out);

/* ---- reading ---- */

/* The whole file in *bytes (terminated by a 0 that *count leaves out). Refuses more than `limit` bytes with ERR_RANGE;
 * 0 means no limit. The caller frees. */
status fs_read(const char *path, size_t limit, char **bytes, size_t *count);

typedef struct fs_names {
    char **names; /* sorted by byte value, as Python's sorted() does */
    size_t count, room;
} fs_names;

/* Names in a folder, without "." and "..". ERR_NOT_FOUND or ERR_IO. */
status fs_list(const char *folder, fs_names *out);
status fs_names_add(fs_names *list, const char *name);
void fs_names_sort(fs_names *list);
void fs_names_free(fs_names *list);

/* ---- writing ---- */

/* mkdir -p with the given mode for what is made. */
status fs_make_folders(const char *path, mode_t mode);
/* Replace a file: written beside it, synced, renamed, folder synced. Mode 0644 unless the file exists with another. */
status fs_write(const char *path, const void *bytes, size_t count);
/* The same with a mode of its own (0600 for secrets). */
status fs_write_mode(const char *path, const void *bytes, size_t count, mode_t mode);
/* The same for a file that some code writes bit by bit: fs_replace_start returns the descriptor of a new file beside
 * `path` and its name in *part (the caller frees it); fs_replace_finish syncs, renames and closes, or removes the part
 * when `result` is not OK. Returns `result`, or what went wrong. */
status fs_replace_start(const char *path, mode_t mode, int *descriptor, char **part);
status fs_replace_finish(const char *path, int descriptor, const char *part, status result);
/* write(2) until all is written. `path` is for the message. */
status fs_write_all(int descriptor, const void *bytes, size_t count, const char *path);
/* Make a rename, a new file or a removal in this folder survive a power cut. */
status fs_sync_folder(const char *folder);
/* Copy a file, or a folder with all in it. The target must not exist. */
status fs_copy(const char *from, const char *to);
/* Remove a file, or a folder with all in it; nothing there is OK. */
status fs_remove(const char *path);

/* Take an exclusive lock on a file, made when missing, for as long as the process lives or *descriptor stays open.
 * ERR_BUSY, with the pid that the holder wrote, when another process has it. */
status fs_lock(const char *path, int *descriptor);

/* ERR_NO_SPACE for ENOSPC and EDQUOT, ERR_NOT_FOUND for ENOENT, ERR_MEMORY for ENOMEM, else ERR_IO. */
status fs_status_of_errno(int error);

/* ---- content ids ---- */

/* 128-bit xxHash of a file's contents, as 32 hex digits and a terminator. */
enum { FS_HASH_ROOM = 33 };
status fs_hash_file(const char *path, char hash[FS_HASH_ROOM]);
void fs_hash_bytes(const void *bytes, size_t count, char hash[FS_HASH_ROOM]);

#endif
