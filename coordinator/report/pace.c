#include "coordinator/report/pace.h"

#include <math.h>

enum { LEAST = 10, ROUNDS = 4 };

void pace_note(pace *p, int64_t evaluated, int64_t now_ms)
{
    if (p->evaluated < 0) p->started_ms = now_ms;
    for (int64_t n = p->evaluated; n >= 0 && n < evaluated; n++) p->arrivals[p->count++ % PACE_MOST] = now_ms;
    p->evaluated = evaluated;
}

double pace_seconds_left(const pace *p, int64_t generations, size_t running, int64_t now_ms)
{
    size_t wish = ROUNDS * running, count = p->count;
    if (wish < LEAST) wish = LEAST;
    if (wish > PACE_MOST - 1) wish = PACE_MOST - 1;
    if (!count || p->evaluated >= generations) return NAN;
    int64_t first = p->started_ms, last = p->arrivals[(count - 1) % PACE_MOST];
    if (count > wish) {
        first = p->arrivals[(count - 1 - wish) % PACE_MOST];
        count = wish;
    }
    double each = (double)(last - first) / 1000 / (double)count, passed = (double)(now_ms - last) / 1000;
    double left = (double)(generations - p->evaluated) * each - fmin(passed, each);
    return left > 0 ? left : 0;
}
