#include "coordinator/server/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

typedef struct bucket {
    double used;            /* of its burst; 0 in a new one */
    int64_t at_ms, told_ms; /* when that was; when it was last told that it was empty, 0: never */
} bucket;

typedef enum owner { EACH, ALL } owner;

typedef struct limit {
    owner owner;
    double burst, each_second;
} limit;

#define AS_LIMIT(id, whose, burst, each_second) [id] = {whose, burst, each_second},
static const limit table[LIMIT_COUNT] = {LIMITS(AS_LIMIT)};

struct limits {
    XXH64_hash_t seed; /* nobody can choose whom to share a bucket with */
    bucket each[LIMIT_COUNT][LIMIT_SLOTS];
    bucket all[LIMIT_COUNT];
};

status limits_create(limits **out)
{
    limits *l = *out = calloc(1, sizeof *l);
    if (!l) return FAIL(ERR_MEMORY, "out of memory");
    if (getrandom(&l->seed, sizeof l->seed, 0) == sizeof l->seed) return OK;
    limits_destroy(out);
    return FAIL(ERR_IO, "no random numbers: %s", strerror(errno));
}

void limits_destroy(limits **l)
{
    free(*l);
    *l = NULL;
}

static bucket *find(limits *l, limit_kind kind, const void *who, size_t count)
{
    if (table[kind].owner == ALL) return &l->all[kind];
    return &l->each[kind][XXH3_64bits_withSeed(who, count, l->seed) % LIMIT_SLOTS];
}

limit_answer limits_take(limits *l, limit_kind kind, const void *who, size_t count, double cost, int64_t now_ms)
{
    const limit *of = &table[kind];
    bucket *b = find(l, kind, who, count);
    double gained = (double)(now_ms - b->at_ms) / 1000 * of->each_second;
    b->used = gained >= b->used ? 0 : gained > 0 ? b->used - gained : b->used;
    b->at_ms = now_ms;
    if (b->used + cost <= of->burst) {
        b->used += cost;
        return LIMIT_FINE;
    }
    if (b->told_ms && now_ms - b->told_ms < LIMIT_TELL_MS) return LIMIT_OVER;
    b->told_ms = now_ms;
    return LIMIT_OVER_FIRST;
}

void limits_give_back(limits *l, limit_kind kind, const void *who, size_t count, double cost)
{
    bucket *b = find(l, kind, who, count);
    b->used = b->used > cost ? b->used - cost : 0;
}
