#include "worker/backend/cpu/parallel.h"

/* libgomp's own entry points, the ones that gcc makes of `#pragma omp parallel`. Named here, they work under any compiler and
 * share the one team of threads with oneDNN. */
extern void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

typedef struct team_work {
    void (*work)(int index, int threads, void *state);
    void *state;
    int threads;
} team_work;

static void run_share(void *data)
{
    const team_work *t = data;
    /* The team may be smaller than asked for (OMP_THREAD_LIMIT, a region inside a region): every index is served anyhow. */
    for (int index = omp_get_thread_num(); index < t->threads; index += omp_get_num_threads())
        t->work(index, t->threads, t->state);
}

void parallel_run(int threads, void (*work)(int index, int threads, void *state), void *state)
{
    if (threads <= 1) {
        work(0, 1, state);
        return;
    }
    team_work t = {work, state, threads};
    GOMP_parallel(run_share, &t, (unsigned)threads, 0);
}
