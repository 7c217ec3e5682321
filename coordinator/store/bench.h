/* bench.h - what the tests of the store share: a folder that goes away, candidates, visits that gather.
 *
 * For test programs alone; each includes it once. */
#ifndef COORDINATOR_STORE_BENCH_H
#define COORDINATOR_STORE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/store/store.h"

/* A folder and a search space of three keys, one of which needs care in JSON. */
typedef struct bench {
    char folder[64];
    hyp_space space;
} bench;

static inline int set_up(void **state)
{
    log_set_level(LEVEL_SILENT);
    bench *b = calloc(1, sizeof *b);
    if (!b) return 1;
    strcpy(b->folder, "/tmp/store_test_XXXXXX");
    b->space = (hyp_space){.count = 3, .digits = 5};
    strcpy(b->space.rows[0].key, "lr0");
    strcpy(b->space.rows[1].key, "a \"quoted\\ key\"\t");
    strcpy(b->space.rows[2].key, "mixup");
    *state = b;
    return mkdtemp(b->folder) ? 0 : 1;
}

static inline int tear_down(void **state)
{
    bench *b = *state;
    chmod(b->folder, 0755);
    fs_remove(b->folder);
    free(b);
    return 0;
}

#define assert_ok(expression)                                                                                          \
    do {                                                                                                               \
        status status_ = (expression);                                                                                 \
        if (status_ != OK) fail_msg("%s: %s (%s)", #expression, status_text(status_), status_message());               \
    } while (0)

static inline void assert_refused(status found, status expected, const char *words)
{
    if (found != expected)
        fail_msg("expected %s, found %s: %s", status_text(expected), status_text(found), status_message());
    if (!strstr(status_message(), words)) fail_msg("expected '%s' in: %s", words, status_message());
}

static inline store *open_store(const bench *b)
{
    store *s;
    assert_ok(store_open(b->folder, &s));
    return s;
}

static inline char *path_in(const bench *b, const char *name)
{
    char *path = path_join(b->folder, name);
    assert_non_null(path);
    return path;
}

static inline store_candidate plain_candidate(int64_t number)
{
    store_candidate c = {.number = number, .bred_ms = 1};
    for (int i = 0; i < 3; i++) c.made.hyps[i] = (double)number + i / 10.0, c.made.factors[i] = 1;
    return c;
}

static inline void put_plain(store *s, const bench *b, int64_t number)
{
    store_candidate c = plain_candidate(number);
    assert_ok(store_put_candidate(s, &b->space, &c));
}

static inline status count_one(void *state, store_candidate *c)
{
    (void)c;
    ++*(size_t *)state;
    return OK;
}

static inline size_t count_candidates(store *s, const bench *b)
{
    size_t count = 0;
    assert_ok(store_each_candidate(s, &b->space, count_one, &count));
    return count;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
