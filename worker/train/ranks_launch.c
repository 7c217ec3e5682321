/* ranks_launch.c - ranks that a launcher has started find each other. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/train/ranks_inner.h"

/* A rank may be started minutes after another; one that has connected says who it is at once. */
static const int64_t patience_ms = 300000, retry_ms = 100;
static const time_t introduction_s = 10;

static const char magic[8] = "mendel\n";
enum { VERSION_ROOM = 32 };

typedef struct introduction {
    char magic[8], version[VERSION_ROOM];
    int32_t rank, ranks;
} introduction;

typedef struct launch {
    long long rank, ranks, local, here, port;
    const char *address;
} launch;

/* ---- the environment ---- */

static status read_number(const char *name, long long low, long long high, long long fallback, long long *out)
{
    const char *words = getenv(name);
    if ((!words || !*words) && fallback >= 0) {
        *out = fallback;
        return OK;
    }
    if (words && text_to_long(words, out) && *out >= low && *out <= high) return OK;
    return FAIL(ERR_ARGUMENT, "%s: %lld to %lld was expected of the launcher, found '%s'", name, low, high,
                words ? words : "");
}

static status read_environment(launch *out)
{
    *out = (launch){.ranks = 1};
    if (!getenv("RANK") || !getenv("WORLD_SIZE")) return OK;
    TRY(read_number("WORLD_SIZE", 1, RANKS_MOST, -1, &out->ranks));
    TRY(read_number("RANK", 0, out->ranks - 1, -1, &out->rank));
    if (out->ranks == 1) return OK;
    TRY(read_number("LOCAL_RANK", 0, RANKS_MOST - 1, out->rank, &out->local));
    TRY(read_number("LOCAL_WORLD_SIZE", 1, out->ranks, out->ranks, &out->here));
    TRY(read_number("MASTER_PORT", 1, 65534, -1, &out->port));
    out->address = getenv("MASTER_ADDR");
    if (!out->address || !*out->address)
        return FAIL(ERR_ARGUMENT, "MASTER_ADDR: the address of rank 0 was expected of the launcher");
    /* torchrun keeps a store of its own at that port. */
    const char *taken = getenv("TORCHELASTIC_USE_AGENT_STORE");
    if (taken && !strcmp(taken, "True")) out->port++;
    return OK;
}

/* ---- sockets ---- */

static status resolve(const launch *l, bool passive, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0};
    char port[16];
    snprintf(port, sizeof port, "%lld", l->port);
    int error = getaddrinfo(l->address, port, &hints, out);
    return error ? FAIL(ERR_ARGUMENT, "MASTER_ADDR: %s: %s", l->address, gai_strerror(error)) : OK;
}

static void prepare(int socket)
{
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* a machine that is switched off */
}

static status limit(int socket, time_t seconds)
{
    struct timeval t = {.tv_sec = seconds};
    if (!setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)) return OK;
    return FAIL(ERR_IO, "cannot set a time-out: %s", strerror(errno));
}

static introduction introduce(const launch *l)
{
    introduction i = {.rank = (int32_t)l->rank, .ranks = (int32_t)l->ranks};
    memcpy(i.magic, magic, sizeof magic);
    snprintf(i.version, sizeof i.version, "%s", MENDEL_VERSION);
    return i;
}

/* ---- rank 0 ---- */

static status open_listener(const launch *l, int *out)
{
    struct addrinfo *at;
    int on = 1;
    TRY(resolve(l, true, &at));
    *out = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*out >= 0) setsockopt(*out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool good = *out >= 0 && !bind(*out, at->ai_addr, at->ai_addrlen) && !listen(*out, RANKS_MOST);
    int error = errno;
    freeaddrinfo(at);
    if (good) return OK;
    if (*out >= 0) close(*out);
    return FAIL(ERR_IO, "rank 0 cannot listen at %s, port %lld: %s", l->address, l->port, strerror(error));
}

/* Strangers, and those of another version, are turned away. */
static status welcome(ranks *r, int guest, const launch *l, bool *taken)
{
    introduction i;
    *taken = false;
    TRY(limit(guest, introduction_s));
    if (ranks_receive(guest, &i, sizeof i) != OK || memcmp(i.magic, magic, sizeof magic)) return OK;
    i.version[VERSION_ROOM - 1] = '\0';
    if (strcmp(i.version, MENDEL_VERSION))
        return FAIL(ERR_REFUSED, "rank %d is of version %s, rank 0 of %s", (int)i.rank, i.version, MENDEL_VERSION);
    if (i.ranks != l->ranks || i.rank < 1 || i.rank >= l->ranks || r->peers[i.rank].socket >= 0)
        return FAIL(ERR_ARGUMENT, "a process says that it is rank %d of %d; this is rank 0 of %lld", (int)i.rank,
                    (int)i.ranks, l->ranks);
    TRY(limit(guest, 0));
    prepare(guest);
    r->peers[i.rank].socket = guest;
    *taken = true;
    return OK;
}

static status await_all(ranks *r, int listener, const launch *l)
{
    int64_t end = clock_ms() + patience_ms;
    TRY(limit(listener, 1));
    for (int missing = r->count - 1; missing;) {
        int guest = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (guest < 0 && clock_ms() > end)
            return FAIL(ERR_TIMEOUT, "%d of %d ranks have not come to %s, port %lld", missing, r->count, l->address,
                        l->port);
        if (guest < 0) continue;
        bool taken;
        status s = welcome(r, guest, l, &taken);
        if (!taken) close(guest);
        TRY(s);
        missing -= taken;
    }
    return OK;
}

static status gather(ranks *r, const launch *l)
{
    int listener;
    TRY(open_listener(l, &listener));
    log_info("Waiting for %d other ranks at %s, port %lld", r->count - 1, l->address, l->port);
    status s = await_all(r, listener, l);
    close(listener);
    return s;
}

/* ---- the others ---- */

static status find_first(ranks *r, const launch *l)
{
    struct addrinfo *at;
    introduction i = introduce(l);
    int64_t end = clock_ms() + patience_ms;
    TRY(resolve(l, false, &at));
    int s = -1, failed = 1;
    while (failed && clock_ms() < end) {
        s = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        failed = s < 0 || connect(s, at->ai_addr, at->ai_addrlen);
        if (failed && s >= 0) close(s);
        if (failed) clock_sleep_ms(retry_ms);
    }
    freeaddrinfo(at);
    if (failed) return FAIL(ERR_TIMEOUT, "rank 0 is not at %s, port %lld", l->address, l->port);
    prepare(s);
    r->peers[0].socket = s;
    return ranks_send(s, &i, sizeof i);
}

status ranks_launched(ranks **out)
{
    launch l;
    *out = NULL;
    TRY(read_environment(&l));
    if (l.ranks == 1) return OK;
    TRY(ranks_create((int)l.rank, (int)l.ranks, out));
    (*out)->local = (int)l.local;
    (*out)->here = (int)l.here;
    status s = l.rank ? find_first(*out, &l) : gather(*out, &l);
    if (s != OK) {
        ranks_close(out);
        return s;
    }
    if (!l.rank) return OK;
    ranks_leave_signals_to_the_first();
    log_set_level(LEVEL_SILENT);
    return OK;
}
