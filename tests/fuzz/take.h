/* take.h - the bytes of a fuzzer, taken piece by piece to choose and to fill. */
#ifndef TESTS_FUZZ_TAKE_H
#define TESTS_FUZZ_TAKE_H

#include <stdint.h>
#include <string.h>

typedef struct take {
    const uint8_t *at;
    size_t left;
} take;

/* 0 once nothing is left. */
static inline uint8_t take_byte(take *t)
{
    if (!t->left) return 0;
    t->left--;
    return *t->at++;
}

static inline uint64_t take_number(take *t)
{
    uint8_t raw[8] = {0};
    size_t count = take_byte(t) % 9; /* small ones more often */
    if (count > t->left) count = t->left;
    memcpy(raw, t->at, count);
    t->at += count;
    t->left -= count;
    uint64_t number;
    memcpy(&number, raw, sizeof number);
    return number;
}

/* At most 255 bytes of those that are left. */
static inline size_t take_bytes(take *t, const uint8_t **bytes)
{
    size_t count = take_byte(t);
    if (count > t->left) count = t->left;
    *bytes = t->at;
    t->at += count;
    t->left -= count;
    return count;
}

#endif
