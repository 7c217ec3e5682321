/* bench.h - benchmarks: `bench NAME [options]`, one figure a line: name, value, unit; as JSON with --json. Ceilings come from the
 * same run.
 *
 * A file holds one benchmark and names it at its foot; `bench` knows those that it is linked with, `bench all` runs them in the
 * order of their places. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/options.h"
#include "common/status.h"

typedef struct benchmark benchmark;
struct benchmark {
    int place;
    const char *name, *about;
    const option_row *rows;
    size_t row_count, options_size; /* of the struct that the rows describe */
    status (*run)(const void *options);
    benchmark *next;
};
void bench_add(benchmark *b);

/* BENCHMARK(1, step, "what it measures", step_options, rows, run) at the foot of a file. */
#define BENCHMARK(place, name, about, options_type, rows, run)                                                         \
    static benchmark this_benchmark = {place, #name, about, rows, sizeof(rows) / sizeof *(rows), sizeof(options_type), \
                                       run,   NULL};                                                                   \
    __attribute__((constructor)) static void add_this_benchmark(void)                                                  \
    {                                                                                                                  \
        bench_add(&this_benchmark);                                                                                    \
    }

/* Print one figure; the name is made as printf does. */
void bench_figure(double value, const char *unit, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* A line for people about what is measured, as printf makes it. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on figures are JSON, an object a line: {"name": ..., "value": ..., "unit": ...}, and there are no notes. */
void bench_set_json(void);

/* A program that lies beside this one; the caller frees *out. ERR_NOT_FOUND. */
status bench_program(const char *name, char **out);
/* Run a program of ours to its end without its output; ERR_IO when it does not end well. arguments[0] is its name; NULL ends
 * them. */
status bench_run_program(char *const *arguments);
/* An empty folder that nobody else has, below $TMPDIR or /tmp; the caller frees *out and removes it. */
status bench_folder(char **out);

/* Order statistics of `count` values, which are sorted: the part `p` of them (0 to 1) is not above it. */
double bench_quantile(double *values, size_t count, double p);

#endif
