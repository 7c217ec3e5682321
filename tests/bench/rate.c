#include "tests/bench/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/text.h"

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void rate_begin(rate *r)
{
    *r = (rate){.seconds = -clock_seconds(), .cpu = -cpu_seconds()};
}

void rate_end(rate *r)
{
    r->seconds += clock_seconds();
    r->cpu += cpu_seconds();
}

double rate_per_s(const rate *r)
{
    return r->seconds > 0 ? (double)r->count / r->seconds : 0;
}

double rate_per_core(const rate *r)
{
    return r->cpu > 0 ? (double)r->count / r->cpu : 0;
}

double rate_part(const rate *what, const rate *of)
{
    if (!what->count || !of->count || what->cpu <= 0) return 0;
    return (of->cpu / (double)of->count) / (what->cpu / (double)what->count);
}

/* ---- in threads ---- */

typedef struct measuring {
    status (*once)(void *state, int thread, int64_t number);
    void *state;
    double until;
    _Atomic int64_t next;
} measuring;

typedef struct measurer {
    measuring *m;
    int index;
    pthread_t id;
    int64_t count;
    status result;
    char *message;
} measurer;

static void *repeat(void *argument)
{
    measurer *t = argument;
    while (t->result == OK && clock_seconds() < t->m->until) {
        t->result = t->m->once(t->m->state, t->index, atomic_fetch_add(&t->m->next, 1));
        t->count++;
    }
    if (t->result != OK) t->message = text_copy(status_message());
    return NULL;
}

status rate_measure(int threads, double seconds, status (*once)(void *state, int thread, int64_t number), void *state,
                    rate *out)
{
    measurer *all;
    int started = 1;
    TRY(array_new(&all, (size_t)threads));
    measuring m = {.once = once, .state = state, .until = clock_seconds() + seconds};
    rate_begin(out);
    all[0] = (measurer){.m = &m};
    for (; started < threads; started++) {
        all[started] = (measurer){.m = &m, .index = started};
        if (pthread_create(&all[started].id, NULL, repeat, &all[started])) break;
    }
    repeat(&all[0]); /* this thread is one of them */
    for (int i = 1; i < started; i++) pthread_join(all[i].id, NULL);
    rate_end(out);
    status s = started < threads ? FAIL(ERR_MEMORY, "cannot start a thread") : OK;
    for (int i = 0; i < started; i++) {
        out->count += all[i].count;
        if (s == OK && all[i].result != OK) s = FAIL(all[i].result, "%s", all[i].message ? all[i].message : "");
        free(all[i].message);
    }
    free(all);
    return s;
}
