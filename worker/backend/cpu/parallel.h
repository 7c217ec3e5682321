/* parallel.h - the same work on several threads at once. */
#ifndef CPU_PARALLEL_H
#define CPU_PARALLEL_H

/* Call work(index, threads, state) for every index from 0 to threads - 1, each on a thread of OpenMP's team where there are
 * enough, and return when all are done. `threads` of 1 or less is a plain call. Which part of the work is whose follows
 * from the index alone, so results do not depend on how many threads the team really has. */
void parallel_run(int threads, void (*work)(int index, int threads, void *state), void *state);

#endif
