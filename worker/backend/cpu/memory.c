#include "worker/backend/cpu/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/array.h"

enum { ALIGNMENT = 64, LARGE_PAGE = 2 << 20 };

status memory_add(memory *m, int64_t bytes, int *item)
{
    TRY(array_room(&m->items, &m->room, m->count + 1));
    *item = (int)m->count;
    m->items[m->count++] =
        (memory_item){.bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, .first = INT_MAX, .last = -1};
    return OK;
}

void memory_touch(memory *m, int item, int moment)
{
    memory_item *i = &m->items[item];
    if (moment < i->first) i->first = moment;
    if (moment > i->last) i->last = moment;
}

/* ---- laying out ---- */

static int larger_first(const void *a, const void *b)
{
    const memory_item *x = *(memory_item *const *)a, *y = *(memory_item *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; /* a rule for ties, so that every run lays out alike */
}

static int lower_first(const void *a, const void *b)
{
    const memory_item *x = *(memory_item *const *)a, *y = *(memory_item *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int live_together(const memory_item *a, const memory_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest gap among those placed already that live at the same time. `placed` is sorted by offset. */
static int64_t lowest_gap(memory_item *const *placed, size_t count, const memory_item *item)
{
    int64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (!live_together(placed[i], item)) continue;
        if (placed[i]->offset - offset >= item->bytes) break;
        if (placed[i]->offset + placed[i]->bytes > offset) offset = placed[i]->offset + placed[i]->bytes;
    }
    return offset;
}

status memory_lay_out(memory *m)
{
    memory_item **order, **placed;
    TRY(array_new(&order, m->count));
    status s = array_new(&placed, m->count);
    for (size_t i = 0; i < m->count; i++) order[i] = &m->items[i];
    qsort(order, m->count, sizeof *order, larger_first);
    m->bytes = 0;
    for (size_t i = 0; s == OK && i < m->count; i++) {
        order[i]->offset = lowest_gap(placed, i, order[i]);
        placed[i] = order[i];
        qsort(placed, i + 1, sizeof *placed, lower_first);
        if (order[i]->offset + order[i]->bytes > m->bytes) m->bytes = order[i]->offset + order[i]->bytes;
    }
    free(placed);
    free(order);
    return s;
}

/* ---- taking ---- */

status memory_take(memory *m, const memory *lender)
{
    if (lender && lender->bytes >= m->bytes) {
        m->base = lender->base;
        m->lent = true;
        return OK;
    }
    size_t bytes = ((size_t)m->bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    if (!bytes) bytes = LARGE_PAGE;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return FAIL(ERR_MEMORY, "out of memory: the feature maps need %.2f GB", (double)bytes / 1e9);
    madvise(base, bytes, MADV_HUGEPAGE); /* fewer page faults and TLB misses; a wish, no need */
    m->base = base;
    m->bytes = (int64_t)bytes;
    return OK;
}

void *memory_at(const memory *m, int item)
{
    return m->base + m->items[item].offset;
}

void memory_free(memory *m)
{
    if (m->base && !m->lent) munmap(m->base, (size_t)m->bytes);
    free(m->items);
    *m = (memory){0};
}
