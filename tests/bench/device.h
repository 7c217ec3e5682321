/* device.h - the processor, as benchmarks use it. */
#ifndef TESTS_BENCH_DEVICE_H
#define TESTS_BENCH_DEVICE_H

#include "worker/backend/backend.h"

/* The CPU backend with this many threads (0: all cores). The caller closes the device. */
status bench_device(int64_t threads, const backend_ops **ops, device **d);

#endif
