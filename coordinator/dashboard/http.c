/* http.c - connections and requests: who comes in, for how long, and what every answer carries. answers.c says what is answered.
 *
 * One thread turns the daemon (libmicrohttpd in external polling), so nothing here is locked. libmicrohttpd bounds what a request may
 * hold and how long a connection may be silent; a client that sends or takes a byte now and then is ended here. */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/dashboard/dashboard_inner.h"

enum { SILENT_MOST_S = 60, ACCEPTED_BACKLOG = 64 };
/* How long a phase may last: a request's head, the taking of an answer, the wait for the next request (its head included). When more
 * than half of the connections are taken there is less time for each. */
static const int64_t phase_most_ms[PEER_PHASE_COUNT] = {10000, 60000, 20000};
static const int64_t crowded_most_ms[PEER_PHASE_COUNT] = {2000, 10000, 2000};

/* ---- connections ---- */

static void add_peer(dashboard *d, struct MHD_Connection *c, void **kept)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    peer *p = calloc(1, sizeof *p);
    *kept = p; /* one without is refused by its first request */
    if (!p) return;
    p->socket = info ? info->connect_fd : -1;
    p->since_ms = clock_ms();
    p->older = d->peers;
    if (d->peers) d->peers->newer = p;
    d->peers = p;
    d->peer_count++;
}

static void remove_peer(dashboard *d, peer *p)
{
    if (p->older) p->older->newer = p->newer;
    if (p->newer) p->newer->older = p->older;
    else d->peers = p->older;
    d->peer_count--;
    free(p);
}

static void connection_changed(void *state, struct MHD_Connection *c, void **kept,
                               enum MHD_ConnectionNotificationCode what)
{
    dashboard *d = state;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) add_peer(d, c, kept);
    else if (*kept) remove_peer(d, *kept);
}

peer *http_peer(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void set_phase(struct MHD_Connection *c, peer_phase phase)
{
    peer *p = http_peer(c);
    if (!p) return;
    p->phase = phase;
    p->since_ms = clock_ms();
}

static void request_completed(void *state, struct MHD_Connection *c, void **request,
                              enum MHD_RequestTerminationCode how)
{
    (void)state, (void)request, (void)how;
    set_phase(c, PEER_IDLE);
}

/* libmicrohttpd then finds the connection closed. */
static void end_overdue(dashboard *d, int64_t now_ms)
{
    const int64_t *most_ms = d->peer_count > CONNECTIONS_MOST / 2 ? crowded_most_ms : phase_most_ms;
    for (const peer *p = d->peers; p; p = p->older)
        if (p->since_ms < now_ms - most_ms[p->phase]) shutdown(p->socket, SHUT_RDWR);
}

/* ---- answers ---- */

static void count_answer(dashboard *d, unsigned code)
{
    for (int i = 0; i < CODES_MOST; i++) {
        if (d->answered[i].count && d->answered[i].code != code) continue;
        d->answered[i].code = code;
        d->answered[i].count++;
        return;
    }
}

/* What every answer carries: nothing is loaded from elsewhere, framed, guessed at or kept. */
static const char *const always[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-store"},
};

static void add_cookie(const dashboard *d, struct MHD_Response *r)
{
    text cookie = {0};
    text_add(&cookie, "%s=%s; Path=/; HttpOnly; SameSite=Lax", d->cookie, d->token);
    if (text_status(&cookie) == OK) MHD_add_response_header(r, "Set-Cookie", cookie.bytes);
    text_free(&cookie);
}

static void add_headers(const dashboard *d, const answer *a, struct MHD_Response *r)
{
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) MHD_add_response_header(r, always[i][0], always[i][1]);
    if (a->type) MHD_add_response_header(r, "Content-Type", a->type);
    if (a->code == MHD_HTTP_UNAUTHORIZED) MHD_add_response_header(r, "WWW-Authenticate", "Bearer realm=\"mendel\"");
    if (a->code == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(r, "Allow", "GET, HEAD");
    if (a->code == MHD_HTTP_SEE_OTHER) MHD_add_response_header(r, "Location", "/");
    if (a->code == MHD_HTTP_SERVICE_UNAVAILABLE) MHD_add_response_header(r, "Retry-After", "5");
    if (a->code >= 400) MHD_add_response_header(r, "Connection", "close");
    if (a->set_cookie) add_cookie(d, r);
}

static struct MHD_Response *make_response(dashboard *d, struct MHD_Connection *c, answer *a)
{
    if (a->is_events) {
        struct MHD_Response *r = events_open(d, c);
        if (r) return r;
        answer_words(a, MHD_HTTP_SERVICE_UNAVAILABLE, "Too many streams are open: ask /api/state instead.");
    }
    if (a->fixed) return MHD_create_response_from_buffer(a->fixed_count, (void *)a->fixed, MHD_RESPMEM_PERSISTENT);
    size_t count = a->body.length;
    char *bytes = text_take(&a->body);
    struct MHD_Response *r = bytes ? MHD_create_response_from_buffer(count, bytes, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!r) free(bytes);
    return r;
}

static enum MHD_Result send_answer(dashboard *d, struct MHD_Connection *c, answer *a)
{
    enum MHD_Result sent = MHD_NO;
    struct MHD_Response *r = make_response(d, c, a);
    if (r) {
        add_headers(d, a, r);
        if (!a->is_events) set_phase(c, PEER_ANSWERED);
        sent = MHD_queue_response(c, a->code, r);
        MHD_destroy_response(r);
        count_answer(d, a->code);
    }
    text_free(&a->body);
    return sent;
}

/* ---- requests ---- */

static const char *header(struct MHD_Connection *c, const char *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static bool has_body(struct MHD_Connection *c)
{
    const char *length = header(c, "Content-Length");
    return (length && strcmp(length, "0")) || header(c, "Transfer-Encoding");
}

static bool has_token(const dashboard *d, struct MHD_Connection *c, bool *said)
{
    *said = door_token_equal(MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token"), d->token);
    bool borne = door_token_equal(door_bearer(header(c, "Authorization")), d->token);
    bool kept = door_token_equal(MHD_lookup_connection_value(c, MHD_COOKIE_KIND, d->cookie), d->token);
    return *said || borne || kept;
}

static void answer_request(dashboard *d, struct MHD_Connection *c, const char *path, const char *method, answer *a)
{
    bool said;
    if (!door_host_is_ours(header(c, "Host"), d->machine, d->named)) {
        answer_words(a, MHD_HTTP_MISDIRECTED_REQUEST,
                     "This dashboard goes by the machine's address, its name or localhost, not by the name that was "
                     "asked for.");
        return;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD)) {
        answer_words(a, MHD_HTTP_METHOD_NOT_ALLOWED, "The dashboard is there to be read: GET and HEAD.");
        return;
    }
    if (has_body(c)) {
        answer_words(a, MHD_HTTP_CONTENT_TOO_LARGE, "A request has no contents here.");
        return;
    }
    bool may = has_token(d, c, &said);
    if (said && !strcmp(path, "/")) { /* the address bar forgets the token, the browser keeps it */
        answer_words(a, MHD_HTTP_SEE_OTHER, "The dashboard is at /.");
        a->set_cookie = true;
        return;
    }
    answer_path(d, c, path, may, a);
    if (a->is_events && !strcmp(method, MHD_HTTP_METHOD_HEAD)) {
        a->is_events = false;
        a->fixed = "";
    }
}

/* Called once with the head of a request, and again when it is whole. What brings contents is answered before they come. */
static enum MHD_Result take_request(void *state, struct MHD_Connection *c, const char *path, const char *method,
                                    const char *version, const char *contents, size_t *content_count, void **request)
{
    static char seen;
    dashboard *d = state;
    answer a = {0};
    (void)version, (void)contents, (void)content_count;
    if (!http_peer(c)) return MHD_NO;
    bool first = !*request;
    *request = &seen;
    if (first && !has_body(c)) return MHD_YES;
    answer_request(d, c, path, method, &a);
    return send_answer(d, c, &a);
}

/* ---- the daemon ---- */

status http_open(dashboard *d, int listening)
{
    unsigned flags = MHD_ALLOW_SUSPEND_RESUME | MHD_USE_EPOLL | (listening < 0 ? MHD_USE_NO_LISTEN_SOCKET : 0);
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, listening, NULL},
        {MHD_OPTION_LISTEN_BACKLOG_SIZE, ACCEPTED_BACKLOG, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, CONNECTIONS_OF_ONE, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_BYTES, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, SILENT_MOST_S, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection_changed, d},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_completed, d},
        {MHD_OPTION_END, 0, NULL},
    };
    if (listening < 0) options[0] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_TIMEOUT, SILENT_MOST_S, NULL};
    d->http = MHD_start_daemon(flags, 0, NULL, NULL, take_request, d, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    return d->http ? OK : FAIL(ERR_IO, "the dashboard cannot be started");
}

/* Until a client or the mailbox has something, or libmicrohttpd has to look at its own clock. */
static void wait_for_something(dashboard *d, int most_ms)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->http, MHD_DAEMON_INFO_EPOLL_FD);
    MHD_UNSIGNED_LONG_LONG due_ms;
    if (MHD_get_timeout(d->http, &due_ms) == MHD_YES && due_ms < (unsigned)most_ms) most_ms = (int)due_ms;
    struct pollfd sources[] = {{info ? info->epoll_fd : -1, POLLIN, 0}, {d->wake, POLLIN, 0}};
    if (poll(sources, 2, most_ms) <= 0 || !sources[1].revents) return;
    uint64_t calls;
    if (read(d->wake, &calls, sizeof calls) < 0) return; /* somebody was quicker: nothing to take */
}

void http_turn(dashboard *d, int most_ms)
{
    wait_for_something(d, most_ms);
    MHD_run(d->http);
    int64_t now_ms = clock_ms();
    end_overdue(d, now_ms);
    events_turn(d, now_ms);
}

void http_close(dashboard *d)
{
    if (d->http) MHD_stop_daemon(d->http);
    d->http = NULL;
}
