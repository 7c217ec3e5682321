#include "common/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t); /* cannot fail for these two clocks */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double clock_seconds(void)
{
    return (double)read_ns(CLOCK_MONOTONIC) * 1e-9;
}

int64_t clock_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, 0);
}
