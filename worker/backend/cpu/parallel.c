#include "worker/backend/cpu/parallel.h"

/* From libgomp, see "Implementing PARALLEL construct" in its manual. */
extern void GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_in_parallel(void);
extern void omp_set_num_threads(int threads);
extern int omp_get_max_threads(void);

typedef struct parallel_call {
    void (*work)(int index, int threads, void *state);
    void *state;
    int threads;
} parallel_call;

static void in_thread(void *data)
{
    const parallel_call *call = data;
    int team = omp_get_num_threads(); /* may be fewer than asked for */
    for (int i = omp_get_thread_num(); i < call->threads; i += team) call->work(i, call->threads, call->state);
}

void parallel_run(int threads, void (*work)(int index, int threads, void *state), void *state)
{
    if (threads < 2 || omp_in_parallel()) {
        for (int i = 0; i < threads; i++) work(i, threads, state);
        return;
    }
    parallel_call call = {work, state, threads};
    GOMP_parallel(in_thread, &call, (unsigned)threads, 0);
}

int64_t parallel_part(int64_t total, int index, int threads, int64_t *first)
{
    *first = total * index / threads;
    return total * (index + 1) / threads;
}

void parallel_set_threads(int threads)
{
    if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}
