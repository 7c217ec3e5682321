/* collective.c - see collective.h.
 *
 * The shared memory is a file without a name, which the others open through the maker's /proc: nothing is left behind, however the
 * processes end. It holds a counter for each rank and two slots for each: what a rank gives lies in its slot, it raises its counter,
 * waits until everyone else's has come as far, and reads all slots. The next call uses the other slots, so that nobody writes where
 * somebody may still be reading: a rank is never more than one call ahead.
 *
 * Who waits looks a while, then sleeps on the other's counter (futex), waking now and then to see whether it is told that a rank
 * is gone. */
#include "worker/backend/cpu/collective.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "worker/backend/cpu/device.h"
#include "worker/backend/cpu/parallel.h"

enum { LINE = 64, SLOT_BYTES = TEAM_GATHER_MOST * sizeof(double), SLOTS = 2, LOOKS = 2000 };
static const long nap_ns = 50000000;

typedef struct ticket {
    uint64_t nonce[2];
    int64_t pid; /* of rank 0, which holds the file open as `descriptor` */
    int32_t descriptor, ranks;
} ticket;
_Static_assert(sizeof(ticket) <= TEAM_TICKET, "a ticket has to fit");

typedef struct counter {
    _Atomic uint32_t arrived; /* calls that the rank has come to */
    char rest[LINE - sizeof(uint32_t)];
} counter;

typedef struct shared {
    uint64_t nonce[2];
    char rest[LINE - 2 * sizeof(uint64_t)];
    counter counters[TEAM_RANKS];
    char slots[]; /* SLOTS of each rank, SLOT_BYTES each */
} shared;

struct team {
    device *d;
    int rank, ranks;
    shared *memory;
    size_t bytes;
    int descriptor; /* rank 0: the file; others -1 */
    uint32_t calls;
    atomic_bool aborted;
};

static size_t bytes_for(int ranks)
{
    return sizeof(shared) + (size_t)ranks * SLOTS * SLOT_BYTES;
}

int team_ranks(const team *g)
{
    return g->ranks;
}

/* ---- meeting ---- */

static char *slot_of(const team *g, int rank)
{
    return g->memory->slots + ((size_t)rank * SLOTS + g->calls % SLOTS) * SLOT_BYTES;
}

static bool has_come(const counter *c, uint32_t calls)
{
    return (int32_t)(atomic_load_explicit(&c->arrived, memory_order_acquire) - calls) >= 0;
}

static status await(team *g, counter *c)
{
    for (int i = 0; i < LOOKS; i++)
        if (has_come(c, g->calls)) return OK;
    while (!has_come(c, g->calls)) {
        if (g->aborted) return FAIL(ERR_DEVICE, "another rank of this training is gone");
        uint32_t seen = atomic_load(&c->arrived);
        if ((int32_t)(seen - g->calls) >= 0) return OK;
        struct timespec nap = {.tv_nsec = nap_ns};
        syscall(SYS_futex, &c->arrived, FUTEX_WAIT, seen, &nap, NULL, 0);
    }
    return OK;
}

/* What this rank gives is in its slot; afterwards so is what the others give. */
static status meet(team *g)
{
    counter *own = &g->memory->counters[g->rank];
    atomic_store_explicit(&own->arrived, g->calls, memory_order_release);
    syscall(SYS_futex, &own->arrived, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    for (int r = 0; r < g->ranks; r++)
        if (r != g->rank) TRY(await(g, &g->memory->counters[r]));
    return OK;
}

status team_gather(team *g, const double *mine, size_t count, const double *all[TEAM_RANKS])
{
    if (count > TEAM_GATHER_MOST) return FAIL(ERR_ARGUMENT, "%zu numbers of a rank at once", count);
    g->calls++;
    memcpy(slot_of(g, g->rank), mine, count * sizeof *mine);
    TRY(meet(g));
    for (int r = 0; r < g->ranks; r++) all[r] = (const double *)(const void *)slot_of(g, r);
    return OK;
}

/* ---- sums ---- */

typedef struct sum_call {
    const team *g;
    float *to;
    size_t count;
} sum_call;

static void sum_part(int index, int threads, void *state)
{
    const sum_call *call = state;
    int64_t first, end = parallel_part((int64_t)call->count, index, threads, &first);
    for (int r = 0; r < call->g->ranks; r++) {
        const float *from = (const float *)(const void *)slot_of(call->g, r);
        if (r == 0) memcpy(call->to + first, from + first, (size_t)(end - first) * sizeof *from);
        else
            for (int64_t i = first; i < end; i++) call->to[i] += from[i];
    }
}

status cpu_team_sum(team *g, buffer *b, size_t first, size_t count)
{
    const size_t most = SLOT_BYTES / sizeof(float), room = b->bytes / sizeof(float);
    if (first > room || count > room - first)
        return FAIL(ERR_ARGUMENT, "elements %zu to %zu of a buffer of %zu", first, first + count, room);
    float *values = (float *)(void *)b->memory + first;
    for (size_t at = 0; at < count; at += most) {
        sum_call call = {g, values + at, count - at < most ? count - at : most};
        g->calls++;
        memcpy(slot_of(g, g->rank), call.to, call.count * sizeof(float));
        TRY(meet(g));
        parallel_run(g->d->threads, sum_part, &call);
    }
    return OK;
}

/* ---- coming together ---- */

static status check_ranks(int ranks)
{
    if (ranks >= 1 && ranks <= TEAM_RANKS) return OK;
    return FAIL(ERR_ARGUMENT, "1 to %d ranks were expected, not %d", TEAM_RANKS, ranks);
}

static status take_nonce(uint64_t nonce[2])
{
    if (getrandom(nonce, 2 * sizeof *nonce, 0) == 2 * (ssize_t)sizeof *nonce) return OK;
    return FAIL(ERR_DEVICE, "no random numbers: %s", strerror(errno));
}

static status map_memory(int descriptor, size_t bytes, shared **out)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    *out = memory == MAP_FAILED ? NULL : memory;
    return *out ? OK : FAIL(ERR_MEMORY, "%zu bytes of shared memory cannot be had: %s", bytes, strerror(errno));
}

static status fill_memory(int descriptor, const ticket *t)
{
    shared *memory;
    size_t bytes = bytes_for(t->ranks);
    if (ftruncate(descriptor, (off_t)bytes))
        return FAIL(ERR_MEMORY, "%zu bytes of shared memory cannot be had: %s", bytes, strerror(errno));
    TRY(map_memory(descriptor, bytes, &memory));
    memcpy(memory->nonce, t->nonce, sizeof memory->nonce);
    munmap(memory, bytes);
    return OK;
}

status cpu_team_ticket(int ranks, unsigned char bytes[TEAM_TICKET])
{
    ticket t = {.pid = getpid(), .ranks = ranks};
    memset(bytes, 0, TEAM_TICKET);
    TRY(check_ranks(ranks));
    TRY(take_nonce(t.nonce));
    t.descriptor = memfd_create("mendel ranks", MFD_CLOEXEC);
    if (t.descriptor < 0) return FAIL(ERR_DEVICE, "shared memory cannot be had: %s", strerror(errno));
    status s = fill_memory(t.descriptor, &t);
    if (s != OK) close(t.descriptor);
    else memcpy(bytes, &t, sizeof t);
    return s;
}

static status open_memory(const ticket *t, team *g)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)t->pid, (int)t->descriptor);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    off_t size = descriptor >= 0 ? lseek(descriptor, 0, SEEK_END) : -1;
    status s = size == (off_t)g->bytes ? map_memory(descriptor, g->bytes, &g->memory) : ERR_UNSUPPORTED;
    if (s == OK && memcmp(g->memory->nonce, t->nonce, sizeof t->nonce)) s = ERR_UNSUPPORTED;
    if (descriptor >= 0) close(descriptor);
    if (s != ERR_UNSUPPORTED) return s;
    return FAIL(s, "the memory of rank 0 cannot be reached: ranks on the cpu have to be processes of one user on one "
                   "machine");
}

status cpu_team_join(device *d, const unsigned char bytes[TEAM_TICKET], int rank, int ranks, team **out)
{
    ticket t;
    memcpy(&t, bytes, sizeof t);
    *out = NULL;
    TRY(check_ranks(ranks));
    if (t.ranks != ranks || rank < 0 || rank >= ranks)
        return FAIL(ERR_ARGUMENT, "rank %d of %d with a ticket for %d", rank, ranks, (int)t.ranks);
    team *g;
    TRY(array_new(&g, 1));
    *g = (team){.d = d, .rank = rank, .ranks = ranks, .bytes = bytes_for(ranks), .descriptor = -1};
    status s = open_memory(&t, g);
    if (s == OK && rank == 0 && t.pid == getpid()) g->descriptor = t.descriptor;
    if (s == OK) *out = g;
    else cpu_team_leave(&g);
    return s;
}

void cpu_team_leave(team **g)
{
    if (!*g) return;
    if ((*g)->memory) munmap((*g)->memory, (*g)->bytes);
    if ((*g)->descriptor >= 0) close((*g)->descriptor);
    free(*g);
    *g = NULL;
}

void cpu_team_abort(team *g)
{
    g->aborted = true; /* whoever sleeps looks again soon */
}
