/* memory.h - one arena for all feature maps of a plan: who needs memory from when to when, and where it goes. */
#ifndef CPU_MEMORY_H
#define CPU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

typedef struct memory_item {
    int64_t bytes, offset;
    int first, last; /* moments at which it is used; first > last: never */
} memory_item;

typedef struct memory {
    memory_item *items;
    size_t count, room;
    int64_t bytes; /* of the arena, after memory_lay_out */
    char *base;
    bool lent; /* base belongs to another */
} memory;

/* Something of this size; *item is its index. */
status memory_add(memory *m, int64_t bytes, int *item);
/* It holds a value at this moment. */
void memory_touch(memory *m, int item, int moment);
/* Give each item an offset so that no two that live at the same time overlap: the largest first, each as low as it fits.
 * Offsets are multiples of 64 bytes. ERR_MEMORY. */
status memory_lay_out(memory *m);
/* Take the arena from `lender`, if that is there and has enough, else from the system, in large pages where there are some.
 * ERR_MEMORY with its size. */
status memory_take(memory *m, const memory *lender);
void *memory_at(const memory *m, int item);
void memory_free(memory *m);

#endif
