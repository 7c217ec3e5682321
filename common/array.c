#include "common/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The pointer is read and written through memcpy: it may be of any object type, which void ** may not alias. */

status array_grow_unset(void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room) return OK;
    size_t wish = *room ? *room : 8;
    while (wish < need) wish = wish > SIZE_MAX / 2 ? need : wish * 2;
    if (wish > SIZE_MAX / size) return FAIL(ERR_MEMORY, "no memory for %zu items of %zu bytes", wish, size);
    void *old;
    memcpy(&old, items, sizeof old);
    char *grown = realloc(old, wish * size);
    if (!grown) return FAIL(ERR_MEMORY, "no memory for %zu items of %zu bytes", wish, size);
    memcpy(items, &grown, sizeof grown);
    *room = wish;
    return OK;
}

status array_grow(void *items, size_t *room, size_t need, size_t size)
{
    size_t before = *room;
    TRY(array_grow_unset(items, room, need, size));
    char *grown;
    memcpy(&grown, items, sizeof grown);
    if (*room > before) memset(grown + before * size, 0, (*room - before) * size);
    return OK;
}

status array_create(void *out, size_t count, size_t size)
{
    void *fresh = calloc(count ? count : 1, size);
    memcpy(out, &fresh, sizeof fresh);
    return fresh ? OK : FAIL(ERR_MEMORY, "no memory for %zu items of %zu bytes", count, size);
}
