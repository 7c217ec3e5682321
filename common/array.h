/* array.h - room for one more item, checked.
 *
 *     TRY(array_room(&d->labels, &d->room, d->count + 1));
 *     d->labels[d->count++] = label;
 *
 * Works on any pointer with a `size_t` beside it that says for how many items there is room. */
#ifndef COMMON_ARRAY_H
#define COMMON_ARRAY_H

#include <stddef.h>

#include "common/status.h"

/* Grow *items (of `size` bytes each) to hold at least `need`; existing items keep their values, new ones are zero.
 * On ERR_MEMORY nothing has changed. Use the macro, which knows the size; `items` is the address of any pointer. */
status array_grow(void *items, size_t *room, size_t need, size_t size);
#define array_room(items, room, need) array_grow((items), (room), (need), sizeof **(items))
/* The same, but new items are anything: for arrays so large that to fill their other half takes longer than a caller may wait. */
status array_grow_unset(void *items, size_t *room, size_t need, size_t size);
#define array_room_unset(items, room, need) array_grow_unset((items), (room), (need), sizeof **(items))

/* count * size bytes of zeros, or ERR_MEMORY. The caller frees *out. A count of 0 gives a valid pointer. */
status array_create(void *out, size_t count, size_t size);
#define array_new(out, count) array_create((out), (count), sizeof **(out))

#endif
