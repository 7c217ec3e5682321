/* parallel.h - run a function on several threads at once.
 *
 * The threads are libgomp's, the same that oneDNN computes with, so that the two never compete for cores. Called through
 * GOMP_parallel, libgomp's documented entry, which works whatever the compiler does with OpenMP pragmas. */
#ifndef CPU_PARALLEL_H
#define CPU_PARALLEL_H

#include <stdint.h>

/* Call work(index, threads, state) once for each index in 0..threads-1, at the same time, and return when all are done. With
 * one thread, or inside another parallel run, the calls are made one after the other in this thread. */
void parallel_run(int threads, void (*work)(int index, int threads, void *state), void *state);

/* The part of 0..total-1 that thread `index` of `threads` has: from *first up to, not including, the returned end. */
int64_t parallel_part(int64_t total, int index, int threads, int64_t *first);

/* The number of threads that parallel work and oneDNN take when called from this thread. */
void parallel_set_threads(int threads);

#endif
