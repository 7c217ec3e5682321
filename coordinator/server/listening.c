#include "coordinator/server/listening.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/server/addresses.h"

static bool is_tcp(const coordinator_options *o)
{
    return text_starts_with(o->bind, "tcp://");
}

/* tcp://ADDRESS:PORT with both in numbers, in brackets or not; "" for every address. False: the socket will say what it makes of it. */
static bool read_numbers(const char *endpoint, char host[64], char port[16])
{
    const char *at = endpoint + strlen("tcp://"), *colon = strrchr(at, ':');
    size_t length = colon ? (size_t)(colon - at) : 0;
    if (!length || length >= 64 || strlen(colon + 1) >= 16) return false;
    bool bracketed = *at == '[' && at[length - 1] == ']';
    snprintf(host, 64, "%.*s", (int)(length - (bracketed ? 2 : 0)), at + bracketed);
    snprintf(port, 16, "%s", colon + 1);
    if (!strcmp(host, "*")) *host = '\0';
    return strspn(port, "0123456789") == strlen(port) && strcmp(port, "0");
}

/* Could it be listened at? Looked at before a run is started, which would be there for nothing otherwise. */
static status try_address(const char *endpoint, const struct addrinfo *at)
{
    int one = 1, error = 0, s = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return OK;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, at->ai_addr, at->ai_addrlen)) error = errno;
    close(s);
    if (error != EADDRINUSE) return OK; /* anything else the socket says better */
    return FAIL(ERR_BUSY, "cannot listen on %s: %s", endpoint, strerror(error));
}

static status check_port(const char *endpoint)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *found;
    char host[64], port[16];
    if (!read_numbers(endpoint, host, port) || getaddrinfo(*host ? host : NULL, port, &hints, &found)) return OK;
    status s = try_address(endpoint, found);
    freeaddrinfo(found);
    return s;
}

status listening_check(const coordinator_options *o)
{
    fs_names found;
    if (*o->bind && !is_tcp(o) && !text_starts_with(o->bind, "ipc://"))
        return FAIL(ERR_ARGUMENT, "--bind %s: tcp://ADDRESS:PORT was expected", o->bind);
    if (is_tcp(o)) TRY(check_port(o->bind));
    if (!*o->advertise) return OK;
    if (!is_tcp(o) || o->insecure)
        return FAIL(ERR_ARGUMENT, "--advertise: only with --bind tcp://... and without --insecure is there an access "
                                  "file to say it");
    TRY(addresses_find("tcp://0.0.0.0:1", o->advertise, &found));
    fs_names_free(&found);
    return OK;
}

/* A worker is a descriptor, and the usual 1024 are fewer than there may be workers. */
static void raise_descriptors(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) || now.rlim_cur == now.rlim_max) return;
    now.rlim_cur = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &now);
}

/* Beside a TCP address the machine's own socket is a convenience, unless local workers need it. */
static status offer(const coordinator_options *o, const run *r, listening *l, server_options *to)
{
    char id[WIRE_ID_ROOM];
    wire_id_text(&r->id, id);
    status s = meeting_offer(id, r->home, &l->meeting);
    bool needed = !is_tcp(o) || o->local_workers || s == ERR_BUSY;
    if (s != OK && needed) return s;
    if (s != OK) log_warning("no socket for workers on this machine: %s", status_message());
    else to->endpoint = meeting_endpoint(l->meeting);
    return OK;
}

status listening_open(const coordinator_options *o, const run *r, listening *l, server_options *to)
{
    *l = (listening){0};
    raise_descriptors();
    if (*o->bind && !is_tcp(o)) {
        to->endpoint = o->bind;
        return OK;
    }
    TRY(offer(o, r, l, to));
    if (!is_tcp(o)) return OK;
    to->tcp = o->bind;
    if (o->insecure) return OK;
    access_guard_process(); /* before there is a key in memory */
    TRY(gate_create(r->home, &l->gate));
    to->gate = l->gate;
    return OK;
}

static status write_access(const listening *l, const coordinator_options *o, const run *r, const server *s,
                           int64_t wall_ms, text *where)
{
    fs_names addresses;
    bool has_access = false;
    TRY(addresses_find(server_tcp_endpoint(s), o->advertise, &addresses));
    status result = keys_publish(r->home, gate_keys(l->gate), &addresses, wall_ms, &has_access);
    fs_names_free(&addresses);
    if (result != OK) return result;
    if (has_access) text_add(where, " (worker --access %s/access)", r->home);
    else text_add(where, " (with access files: coordinator keys add NAME)");
    return OK;
}

status listening_publish(const listening *l, const coordinator_options *o, const run *r, const server *s,
                         int64_t wall_ms, text *where)
{
    const char *tcp = server_tcp_endpoint(s);
    if (tcp) text_add(where, "%s", tcp);
    else text_add(where, "%s", l->meeting ? meeting_endpoint(l->meeting) : o->bind);
    if (l->gate) TRY(write_access(l, o, r, s, wall_ms, where));
    else if (tcp) log_warning("%s is open to everyone who reaches it (--insecure)", tcp);
    return text_status(where);
}

void listening_close(listening *l)
{
    gate_destroy(&l->gate);
    meeting_withdraw(&l->meeting);
}
