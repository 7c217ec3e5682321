#include "common/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/* A terminal is redrawn ten times a second; a log gets a line every five. */
static const double redraw_every = 0.1, plain_line_every = 5.0;
enum { BAR_WIDTH = 10 };

void progress_start(progress *p, int64_t total, const char *unit)
{
    double now = clock_seconds();
    *p = (progress){.unit = unit, .total = total, .started = now, .shown = 0};
    p->plain_every = plain_line_every;
    p->terminal = isatty(STDERR_FILENO);
    p->silent = log_get_level() < LEVEL_INFO;
}

/* m:ss or h:mm:ss */
static void write_time(double seconds)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600) fprintf(stderr, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else fprintf(stderr, "%ld:%02ld", s / 60, s % 60);
}

static void draw(progress *p, const char *words, double now)
{
    double part = p->total > 0 ? (double)p->done / (double)p->total : 1, passed = now - p->started;
    double rate = passed > 0 ? (double)p->done / passed : 0;
    flockfile(stderr);
    if (p->terminal) fputs("\r\033[K", stderr);
    fprintf(stderr, "%s %3.0f%%", words, 100 * part);
    if (p->terminal) {
        fputs(" [", stderr);
        for (int i = 0; i < BAR_WIDTH; i++) fputc(i < (int)(part * BAR_WIDTH) ? '#' : '.', stderr);
        fputc(']', stderr);
    }
    fprintf(stderr, " %lld/%lld, ", (long long)p->done, (long long)p->total);
    write_time(passed);
    fputc('<', stderr);
    if (rate > 0) write_time((double)(p->total - p->done) / rate);
    else fputc('?', stderr);
    if (rate >= 1 || rate == 0) fprintf(stderr, ", %.1f %s/s", rate, p->unit);
    else fprintf(stderr, ", %.1f s/%s", 1 / rate, p->unit);
    if (!p->terminal) fputc('\n', stderr);
    fflush(stderr);
    funlockfile(stderr);
    p->shown = now;
}

void progress_show(progress *p, int64_t done, const char *words)
{
    p->done = done;
    if (p->silent) return;
    double now = clock_seconds();
    if (now - (p->shown > 0 ? p->shown : p->started) < (p->terminal ? redraw_every : p->plain_every)) return;
    draw(p, words, now);
}

void progress_finish(progress *p, const char *words)
{
    if (p->silent) return;
    p->done = p->total;
    draw(p, words, clock_seconds());
    if (p->terminal) fputc('\n', stderr);
}
