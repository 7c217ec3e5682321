/* The places of common/fault.h: each writes a line of history, and may be where the process ends or stops. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/text.h"
#include "proto/trainer.h"
#include "proto/wire.h"
#include "tests/chaos/layer/disk.h"
#include "tests/chaos/layer/layer.h"
#include "tests/chaos/places.h"

/* A place and how often it has to be reached. */
typedef struct trap {
    char *place;
    long left; /* 0: none */
} trap;

static struct {
    int history; /* -1: none */
    const char *who;
    trap kill, stop, power;
    disk_fault how; /* the power goes */
} layer = {.history = -1};

/* ---- history ---- */

static void die(const char *what, const char *words)
{
    fprintf(stderr, "chaos: %s%s\n", what, words);
    abort();
}

int layer_split(char *line, char *parts[], size_t count)
{
    size_t found = 0;
    for (char *at = line; at && found < count; found++) {
        parts[found] = at;
        at = strchr(at, '|');
        if (at) *at++ = '\0';
    }
    return found == count;
}

static void set_trap(trap *t, const char *variable)
{
    const char *value = getenv(variable);
    char *parts[2];
    if (!value) return;
    char *line = strdup(value);
    if (!line || !layer_split(line, parts, 2)) die("not as layer.h has it: ", variable);
    *t = (trap){parts[0], atol(parts[1])};
}

/* Before main, and so before there are threads. */
static void __attribute__((constructor)) start(void)
{
    const char *path = getenv("CHAOS_HISTORY");
    layer.who = getenv("CHAOS_WHO");
    if (!path || !layer.who) return;
    layer.history = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (layer.history < 0) die("cannot write ", path);
    set_trap(&layer.kill, "CHAOS_KILL");
    set_trap(&layer.stop, "CHAOS_STOP");
    set_trap(&layer.power, "CHAOS_POWER");
    const char *how = layer.power.place ? strrchr(getenv("CHAOS_POWER"), '|') : NULL;
    if (how) layer.how = disk_fault_find(how + 1);
}

/* By the machine's clock, whatever clock.c makes of it. */
static int64_t now_us(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One write, so that lines of several processes do not mix. */
void layer_note(const char *what, int64_t candidate, int64_t attempt, uint64_t epoch, const char *words)
{
    if (layer.history < 0) return;
    text line = {0};
    text_add(&line, "%lld\t%s\t%s\t%lld\t%lld\t%llu\t%s\n", (long long)now_us(), layer.who, what, (long long)candidate,
             (long long)attempt, (unsigned long long)epoch, words);
    if (text_status(&line) != OK) die("out of memory", "");
    if (syscall(SYS_write, layer.history, line.bytes, line.length) != (ssize_t)line.length)
        die("the history is full", "");
    text_free(&line);
}

/* ---- reaching a place ---- */

void layer_kill(void)
{
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static bool springs(trap *t, const char *name)
{
    return t->left > 0 && !strcmp(t->place, name) && --t->left == 0;
}

static void check_name(const char *name)
{
    for (size_t i = 0; i < PLACES; i++)
        if (!strcmp(places[i].name, name)) return;
    die("places.h does not list ", name);
}

static void reach(const char *place, const char *word, int64_t candidate, int64_t attempt, uint64_t epoch,
                  const char *words)
{
    char name[128];
    if (layer.history < 0) return;
    snprintf(name, sizeof name, *word ? "%s %s" : "%s", place, word);
    check_name(name);
    layer_note(name, candidate, attempt, epoch, words);
    if (springs(&layer.kill, name)) {
        layer_note("killed", 0, 0, 0, name);
        layer_kill();
    }
    if (springs(&layer.power, name)) {
        layer_note("powerless", 0, 0, 0, name);
        disk_power_goes(layer.how);
    }
    if (springs(&layer.stop, name)) {
        layer_note("stopped", 0, 0, 0, name);
        kill(getpid(), SIGSTOP);
    }
}

void fault_place(const char *place, const char *word)
{
    reach(place, word, 0, 0, 0, "");
}

void fault_attempt(const char *place, const char *word, int64_t candidate, int64_t attempt, uint64_t epoch)
{
    reach(place, word, candidate, attempt, epoch, "");
}

void fault_note(const char *words, const char *word, int64_t candidate, int64_t attempt, uint64_t epoch)
{
    char name[128];
    snprintf(name, sizeof name, *word ? "%s %s" : "%s", words, word);
    layer_note(name, candidate, attempt, epoch, "");
}

void fault_trainer(const char *place, int kind)
{
    static const char *const names[TRAINER_KINDS] = {
        [TRAINER_HELLO] = "hello",     [TRAINER_ITERATION] = "iteration",       [TRAINER_EPOCH] = "epoch",
        [TRAINER_STOPPED] = "stopped", [TRAINER_CHECKPOINTED] = "checkpointed", [TRAINER_DONE] = "done",
        [TRAINER_FAILED] = "failed",
    };
    reach(place, names[kind] ? names[kind] : "what", 0, 0, 0, "");
}

/* ---- messages ---- */

static const Mendel__Token *token_of(const envelope *e)
{
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_CANDIDATE: return e->candidate->token;
    case MENDEL__ENVELOPE__BODY_ACCEPTED: return e->accepted->token;
    case MENDEL__ENVELOPE__BODY_PROGRESS: return e->progress->token;
    case MENDEL__ENVELOPE__BODY_STOP: return e->stop->token;
    case MENDEL__ENVELOPE__BODY_RESULT: return e->result->token;
    case MENDEL__ENVELOPE__BODY_FAILED: return e->failed->token;
    case MENDEL__ENVELOPE__BODY_YIELD: return e->yield->token;
    case MENDEL__ENVELOPE__BODY_RESULT_ACK: return e->result_ack->token;
    default: return NULL;
    }
}

/* What the checker wants to know of a message, besides its token. */
static void add_words(text *words, const envelope *e)
{
    switch (e->body_case) {
    case MENDEL__ENVELOPE__BODY_RESULT:
        for (size_t i = 0; i < e->result->n_results; i++)
            text_add(words, i ? " %.17g" : "%.17g", e->result->results[i]);
        break;
    case MENDEL__ENVELOPE__BODY_RESULT_ACK: text_add(words, "verdict %d", (int)e->result_ack->verdict); break;
    case MENDEL__ENVELOPE__BODY_STOP: text_add(words, e->stop->unwanted ? "unwanted" : "wanted"); break;
    case MENDEL__ENVELOPE__BODY_WELCOME: text_add(words, "lease %lld", (long long)e->welcome->lease_ms); break;
    default:
        if (!e->epoch && e->session.len >= 4)
            text_add(words, "session %02x%02x%02x%02x", e->session.data[0], e->session.data[1], e->session.data[2],
                     e->session.data[3]);
    }
    if (e->epoch) text_add(words, "%sepoch %llu", words->length ? ", " : "", (unsigned long long)e->epoch);
}

/* Lists of tokens are notes of their own, before the message's own line. */
static void note_list(const char *what, Mendel__Token *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) layer_note(what, list[i]->candidate, list[i]->attempt, list[i]->epoch, "");
}

void fault_message(const char *place, const struct Mendel__Envelope *e)
{
    text words = {0};
    if (layer.history < 0) return;
    const Mendel__Token *t = token_of(e);
    add_words(&words, e);
    if (e->body_case == MENDEL__ENVELOPE__BODY_WELCOME)
        note_list("unwanted", e->welcome->unwanted, e->welcome->n_unwanted);
    if (e->body_case == MENDEL__ENVELOPE__BODY_HEARTBEAT) note_list("held", e->heartbeat->held, e->heartbeat->n_held);
    if (e->body_case == MENDEL__ENVELOPE__BODY_HELLO) note_list("held", e->hello->held, e->hello->n_held);
    reach(place, wire_kind_name(e->body_case), t ? t->candidate : 0, t ? t->attempt : 0, t ? t->epoch : 0,
          text_string(&words));
    text_free(&words);
}

void fault_packed(const char *place, const void *data, size_t count)
{
    envelope *e = NULL;
    if (layer.history < 0) return;
    if (wire_unpack(data, count, &e) != OK) die("its sender cannot read a message: ", status_message());
    fault_message(place, e);
    wire_free(&e);
}
