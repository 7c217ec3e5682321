#include "worker/train/ranks.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/train/ranks_inner.h"

enum { EXIT_ABANDONED = 75, WORDS_MOST = 2000, LEAVE_MS = 5000 };

/* What goes over a socket: a head, then its bytes. A rank that fails says so in place of what was awaited; rank 0 says when all is
 * over, so that only a socket which closes without a word is one whose process is gone. */
typedef enum frame_kind { FRAME_BYTES = 1, FRAME_FAILED, FRAME_OVER } frame_kind;

typedef struct frame_head {
    uint32_t kind, result; /* result: status of a failure */
    uint64_t count;
} frame_head;

/* ---- making ---- */

status ranks_create(int number, int count, ranks **out)
{
    ranks *r;
    *out = NULL;
    TRY(array_new(&r, 1));
    *r = (ranks){.number = number, .count = count, .local = number, .here = count, .wake = -1};
    status s = array_new(&r->peers, (size_t)count);
    if (s != OK) {
        free(r);
        return s;
    }
    for (int i = 0; i < count; i++) r->peers[i].socket = -1;
    *out = r;
    return OK;
}

void ranks_close(ranks **out)
{
    ranks *r = *out;
    if (!r) return;
    for (int i = 0; i < r->count; i++)
        if (r->peers[i].socket >= 0) close(r->peers[i].socket);
    if (r->wake >= 0) close(r->wake);
    free(r->peers);
    free(r);
    *out = NULL;
}

/* Rank 0 decides when a training ends, whatever a terminal or a scheduler tells every process. */
void ranks_leave_signals_to_the_first(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_IGN);
}

/* In a new rank: of all sockets only its own end, and nothing that others must see closed when rank 0 is gone. */
static void become_rank(ranks *r, int number, const int (*ends)[2], int closed)
{
    for (int i = 1; i < r->count; i++) {
        close(ends[i][0]);
        if (i != number) close(ends[i][1]);
    }
    for (int i = 0; i < r->count; i++) r->peers[i] = (peer){.socket = -1};
    r->peers[0].socket = ends[number][1];
    r->number = r->local = number;
    if (closed >= 0) close(closed);
    ranks_leave_signals_to_the_first();
    log_set_level(LEVEL_SILENT);
}

static status fork_all(ranks *r, const int (*ends)[2], int closed)
{
    fflush(NULL); /* what is not written yet would be written by each */
    for (int i = 1; i < r->count; i++) {
        pid_t pid = fork();
        if (pid < 0) return FAIL(ERR_MEMORY, "cannot start rank %d: %s", i, strerror(errno));
        if (pid == 0) {
            become_rank(r, i, ends, closed);
            return OK;
        }
        r->peers[i] = (peer){ends[i][0], pid, .forked = true};
    }
    for (int i = 1; i < r->count; i++) close(ends[i][1]);
    return OK;
}

status ranks_fork(int count, int closed, ranks **out)
{
    *out = NULL;
    if (count < 2) return OK;
    int(*ends)[2] = NULL, made = 1;
    TRY(array_new(&ends, (size_t)count));
    status s = ranks_create(0, count, out);
    while (s == OK && made < count) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[made]))
            s = FAIL(ERR_MEMORY, "cannot make a socket: %s", strerror(errno));
        else made++;
    }
    if (s == OK) s = fork_all(*out, (const int(*)[2])ends, closed);
    else
        for (int i = 1; i < made; i++) close(ends[i][0]), close(ends[i][1]);
    free(ends);
    if (s != OK) ranks_close(out); /* those that were started see it and leave */
    return s;
}

int ranks_number(const ranks *r)
{
    return r ? r->number : 0;
}

int ranks_count(const ranks *r)
{
    return r ? r->count : 1;
}

int ranks_local(const ranks *r)
{
    return r ? r->local : 0;
}

int ranks_here(const ranks *r)
{
    return r ? r->here : 1;
}

/* ---- sockets ---- */

status ranks_send(int socket, const void *bytes, size_t count)
{
    for (const char *at = bytes; count;) {
        ssize_t n = send(socket, at, count, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return FAIL(ERR_IO, "cannot write to another rank: %s", strerror(errno));
        at += n;
        count -= (size_t)n;
    }
    return OK;
}

status ranks_receive(int socket, void *bytes, size_t count)
{
    for (char *at = bytes; count;) {
        ssize_t n = recv(socket, at, count, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return FAIL(ERR_IO, "another rank is gone");
        at += n;
        count -= (size_t)n;
    }
    return OK;
}

static status send_frame(int socket, frame_kind kind, status result, const void *bytes, size_t count)
{
    frame_head head = {.kind = kind, .result = result, .count = count};
    TRY(ranks_send(socket, &head, sizeof head));
    return ranks_send(socket, bytes, count);
}

/* ---- failures ---- */

/* The next frame of this kind; bytes that nobody fetches any more are passed over. */
static status await_frame(int socket, frame_kind kind, frame_head *head)
{
    for (;;) {
        TRY(ranks_receive(socket, head, sizeof *head));
        if (head->kind == kind) return OK;
        char rest[256];
        for (uint64_t left = head->count; left;) {
            size_t part = left < sizeof rest ? (size_t)left : sizeof rest;
            TRY(ranks_receive(socket, rest, part));
            left -= part;
        }
    }
}

/* Of a rank that is gone: what it said last, or how it ended. */
static status learn_why(ranks *r, int number)
{
    frame_head head;
    peer *p = &r->peers[number];
    char words[WORDS_MOST + 1] = "";
    int how;
    if (await_frame(p->socket, FRAME_FAILED, &head) == OK) {
        size_t kept = head.count < WORDS_MOST ? (size_t)head.count : WORDS_MOST;
        if (ranks_receive(p->socket, words, kept) != OK) kept = 0;
        words[kept] = '\0';
        status s = head.result > OK && head.result < STATUS_COUNT ? (status)head.result : ERR_DEVICE;
        return FAIL(s, "rank %d: %s", number, words);
    }
    if (p->forked && waitpid(p->pid, &how, 0) == p->pid) {
        p->forked = false;
        if (WIFSIGNALED(how)) return FAIL(ERR_DEVICE, "rank %d was ended by signal %d", number, WTERMSIG(how));
    }
    return FAIL(ERR_DEVICE, "rank %d is gone", number);
}

/* The rank that was missed first; 0: none. */
static int find_lost(const ranks *r)
{
    return r->lost;
}

status ranks_explain(ranks *r, status s)
{
    if (s == OK || !r || r->number || !find_lost(r)) return s;
    return learn_why(r, find_lost(r));
}

static status lose(ranks *r, int number)
{
    int none = 0;
    atomic_compare_exchange_strong(&r->lost, &none, number);
    return FAIL(ERR_DEVICE, "rank %d is gone", find_lost(r));
}

/* ---- talking ---- */

static status take_frame(ranks *r, int from, void *bytes, size_t count)
{
    frame_head head;
    int socket = r->peers[from].socket;
    status s = ranks_receive(socket, &head, sizeof head);
    if (s == OK && head.kind == FRAME_BYTES && head.count == count) s = ranks_receive(socket, bytes, count);
    else if (s == OK && head.kind == FRAME_OVER) r->dismissed = true;
    else if (s == OK) s = FAIL(ERR_PROTOCOL, "rank %d says something else than was expected", from);
    if (s == OK && !r->dismissed) return OK;
    return r->number ? FAIL(ERR_STOPPED, "rank 0 has ended") : lose(r, from);
}

status ranks_tell(ranks *r, void *bytes, size_t count)
{
    if (!r) return OK;
    if (r->number) return take_frame(r, 0, bytes, count);
    if (find_lost(r)) return FAIL(ERR_DEVICE, "rank %d is gone", find_lost(r));
    for (int i = 1; i < r->count; i++)
        if (send_frame(r->peers[i].socket, FRAME_BYTES, OK, bytes, count) != OK) return lose(r, i);
    return OK;
}

status ranks_wait_for_first(ranks *r)
{
    char go;
    return r && r->number ? ranks_tell(r, &go, 1) : OK;
}

status ranks_first_is_ready(ranks *r)
{
    char go = 1;
    return r && !r->number ? ranks_tell(r, &go, 1) : OK;
}

status ranks_bring(ranks *r, int from, void *bytes, size_t count)
{
    if (!r || from == 0) return OK;
    if (r->number == 0) return take_frame(r, from, bytes, count);
    if (r->number != from) return OK;
    if (send_frame(r->peers[0].socket, FRAME_BYTES, OK, bytes, count) != OK)
        return FAIL(ERR_STOPPED, "rank 0 has ended");
    return OK;
}

/* ---- watching ---- */

/* Sees a socket whose other end is closed, also while bytes lie in it; and the event that ends it. */
static void *watch(void *state)
{
    ranks *r = state;
    struct pollfd items[RANKS_MOST + 1];
    int numbers[RANKS_MOST], count = 0;
    for (int i = 0; i < r->count; i++) {
        if (r->peers[i].socket < 0) continue;
        numbers[count] = i;
        items[count++] = (struct pollfd){.fd = r->peers[i].socket, .events = POLLRDHUP};
    }
    items[count] = (struct pollfd){.fd = r->wake, .events = POLLIN};
    while (poll(items, (nfds_t)count + 1, -1) < 0 && errno == EINTR) continue;
    for (int i = 0; i < count && !items[count].revents; i++) {
        if (!items[i].revents) continue;
        if (r->number && !r->leaving) _exit(EXIT_ABANDONED);
        if (r->number) break;
        lose(r, numbers[i]);
        r->when_lost(r->when_lost_state);
        break;
    }
    return NULL;
}

status ranks_watch(ranks *r, void (*lost)(void *state), void *state)
{
    if (!r) return OK;
    r->when_lost = lost;
    r->when_lost_state = state;
    r->wake = eventfd(0, EFD_CLOEXEC);
    if (r->wake < 0) return FAIL(ERR_MEMORY, "cannot make an event: %s", strerror(errno));
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
    int error = pthread_create(&r->watcher, NULL, watch, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return FAIL(ERR_MEMORY, "cannot start a thread: %s", strerror(error));
    r->watching = true;
    return OK;
}

void ranks_unwatch(ranks *r)
{
    if (!r || !r->watching) return;
    uint64_t one = 1;
    while (write(r->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
    pthread_join(r->watcher, NULL);
    r->watching = false;
}

/* ---- the end ---- */

static void reap(ranks *r)
{
    int64_t end = clock_ms() + LEAVE_MS;
    for (int i = 1; i < r->count; i++) {
        peer *p = &r->peers[i];
        while (p->forked && waitpid(p->pid, NULL, WNOHANG) == 0) {
            if (clock_ms() > end) kill(p->pid, SIGKILL);
            clock_sleep_ms(2);
        }
        p->forked = false;
    }
}

/* A rank's last words, then nothing more until rank 0 says that it is over, or is gone. */
static void follow_the_first(ranks *r, status s)
{
    frame_head head;
    int socket = r->peers[0].socket;
    r->leaving = true;
    if (s != OK && s != ERR_STOPPED) {
        send_frame(socket, FRAME_FAILED, s, status_message(), strlen(status_message()));
        shutdown(socket, SHUT_WR);
    }
    if (!r->dismissed) await_frame(socket, FRAME_OVER, &head);
}

/* Rank 0 lets the others go, and sees that they have. After a failure it just leaves. */
static void dismiss(ranks *r, status s)
{
    int64_t end = clock_ms() + LEAVE_MS;
    if (s != OK && s != ERR_STOPPED) return;
    for (int i = 1; i < r->count; i++) send_frame(r->peers[i].socket, FRAME_OVER, OK, "", 0);
    for (int i = 1; i < r->count; i++) {
        int64_t left = end - clock_ms();
        struct pollfd closed = {.fd = r->peers[i].socket, .events = POLLRDHUP};
        while (left > 0 && poll(&closed, 1, (int)left) < 0 && errno == EINTR) left = end - clock_ms();
    }
}

void ranks_end(ranks **out, status s)
{
    ranks *r = *out;
    if (!r) return;
    if (r->number) {
        follow_the_first(r, s);
        ranks_unwatch(r);
        ranks_close(out);
        exit(s == OK || s == ERR_STOPPED ? 0 : 1);
    }
    ranks_unwatch(r);
    dismiss(r, s);
    for (int i = 1; i < r->count; i++) {
        if (r->peers[i].socket >= 0) close(r->peers[i].socket);
        r->peers[i].socket = -1;
    }
    reap(r);
    ranks_close(out);
}
