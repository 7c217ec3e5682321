/* file.h - the bytes of a fuzzer as a file that has a path. */
#ifndef TESTS_FUZZ_FILE_H
#define TESTS_FUZZ_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FUZZ_PATH_ROOM = 64 };

/* A file in memory that holds `bytes`; its path in `path`. Returns its descriptor, to be closed. */
static inline int fuzz_file(const uint8_t *bytes, size_t count, char path[FUZZ_PATH_ROOM])
{
    int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    if (descriptor < 0 || write(descriptor, bytes, count) != (ssize_t)count) abort();
    snprintf(path, FUZZ_PATH_ROOM, "/proc/self/fd/%d", descriptor);
    return descriptor;
}

#endif
