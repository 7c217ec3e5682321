/* bench.h - benchmarks: `bench NAME [options]`, one figure a line: name, value, unit. Ceilings come from the same run. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include "common/status.h"
#include "worker/backend/backend.h"

/* Each reads its own options from the command line (argv[0] is the benchmark's name). */
status bench_step(int argc, char **argv);

/* Print one figure. */
void bench_figure(const char *name, double value, const char *unit);
/* The CPU backend with this many threads (0: all cores). The caller closes the device. */
status bench_device(int64_t threads, const backend_ops **ops, device **d);

#endif
