/* clock.h - time that only goes forward, and the time of day for people. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/* Seconds and milliseconds of CLOCK_MONOTONIC: for time-outs, leases and rates. Not comparable between machines. */
double clock_seconds(void);
int64_t clock_ms(void);
/* Milliseconds since 1970 by the machine's clock, which may jump: for records that people read. */
int64_t clock_wall_ms(void);
/* Sleep, shorter if a signal comes. */
void clock_sleep_ms(int64_t ms);

#endif
