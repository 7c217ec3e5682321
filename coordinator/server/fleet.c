#include "coordinator/server/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "coordinator/server/limits.h"

static void session_destroy(session *s)
{
    free(s->host);
    free(s->device);
    free(s->version);
    free(s->running);
    free(s);
}

void fleet_free(fleet *f)
{
    for (size_t i = 0; i < f->count; i++) session_destroy(f->sessions[i]);
    free(f->sessions);
    free(f->by_id);
    *f = (fleet){0};
}

/* Where in by_id the session of this id stands, or would. */
static size_t find_place(const fleet *f, const wire_id *id)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(f->by_id[middle]->id.bytes, id->bytes, sizeof id->bytes) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

session *fleet_find(const fleet *f, const wire_id *id)
{
    size_t place = find_place(f, id);
    return place < f->count && wire_id_equal(&f->by_id[place]->id, id) ? f->by_id[place] : NULL;
}

static status add(fleet *f, session *s)
{
    TRY(array_room(&f->sessions, &f->room, f->count + 1));
    TRY(array_room(&f->by_id, &f->id_room, f->count + 1));
    size_t place = find_place(f, &s->id);
    memmove(&f->by_id[place + 1], &f->by_id[place], (f->count - place) * sizeof *f->by_id);
    f->by_id[place] = s;
    f->sessions[f->count++] = s;
    return OK;
}

void fleet_forget(fleet *f, session *s)
{
    size_t place = find_place(f, &s->id), at = 0;
    while (at < f->count && f->sessions[at] != s) at++;
    if (at == f->count) return;
    f->sessions[at] = f->sessions[--f->count];
    memmove(&f->by_id[place], &f->by_id[place + 1], (f->count - place) * sizeof *f->by_id);
    session_destroy(s);
}

static void forget_others_of(fleet *f, const char *worker, const session *but)
{
    for (size_t i = f->count; i-- > 0;)
        if (f->sessions[i] != but && !strcmp(f->sessions[i]->worker, worker)) fleet_forget(f, f->sessions[i]);
}

static status set_text(char **at, const char *value)
{
    char *copy = text_copy(value);
    if (!copy) return FAIL(ERR_MEMORY, "out of memory");
    free(*at);
    *at = copy;
    return OK;
}

static status fill(session *s, const Mendel__Hello *h)
{
    memcpy(s->worker, h->worker, sizeof s->worker);
    s->pid = h->pid;
    TRY(set_text(&s->host, h->host));
    TRY(set_text(&s->device, *h->device->model ? h->device->model : h->device->name));
    TRY(set_text(&s->version, h->version));
    snprintf(s->label, sizeof s->label, "%.36s %.6s", s->host, s->worker);
    if (s->slots == h->slots) return OK;
    slot_progress *running;
    TRY(array_new(&running, (size_t)h->slots));
    free(s->running);
    s->running = running;
    s->slots = h->slots;
    return OK;
}

bool fleet_is_claimed(const fleet *f, const char *worker, const char *key, int64_t since_ms)
{
    for (size_t i = 0; i < f->count; i++) {
        const session *s = f->sessions[i];
        if (!strcmp(s->worker, worker) && strcmp(s->key, key) && s->heard_ms >= since_ms) return true;
    }
    return false;
}

static status check_room(const fleet *f, const char *key)
{
    size_t of_key = 0;
    if (f->count >= LIMIT_SESSIONS) return FAIL(ERR_BUSY, "there are %d workers already", LIMIT_SESSIONS);
    for (size_t i = 0; i < f->count; i++) of_key += !strcmp(f->sessions[i]->key, key);
    if (of_key < LIMIT_SESSIONS_KEY) return OK;
    return FAIL(ERR_BUSY, "there are %d workers with this key already", LIMIT_SESSIONS_KEY);
}

status fleet_greet(fleet *f, const wire_id *id, const char *key, const Mendel__Hello *hello, session **out)
{
    session *s = fleet_find(f, id);
    if (!s) {
        TRY(check_room(f, key));
        TRY(array_new(&s, 1));
        s->id = *id;
        wire_id_text(id, s->text);
        strcpy(s->key, key);
        status added = add(f, s);
        if (added != OK) session_destroy(s);
        if (added != OK) return added;
    }
    *out = s;
    status result = fill(s, hello);
    if (result == OK) forget_others_of(f, s->worker, s);
    else fleet_forget(f, s);
    return result;
}

void fleet_forget_silent(fleet *f, int64_t now_ms, int64_t silence_ms)
{
    for (size_t i = f->count; i-- > 0;)
        if (now_ms - f->sessions[i]->heard_ms > silence_ms) fleet_forget(f, f->sessions[i]);
}

bool fleet_has_others(const fleet *f, const char *worker)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->sessions[i]->state == SESSION_WELCOME && strcmp(f->sessions[i]->worker, worker)) return true;
    return false;
}

size_t fleet_welcome_count(const fleet *f)
{
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) count += f->sessions[i]->state == SESSION_WELCOME;
    return count;
}

slot_progress *fleet_progress(const session *s, token t)
{
    for (int64_t i = 0; i < s->slots; i++)
        if (token_equal(s->running[i].token, t)) return &s->running[i];
    return NULL;
}

void fleet_begin(session *s, int64_t slot, token t)
{
    if (slot < s->slots) s->running[slot] = (slot_progress){.token = t, .earlier = s->running[slot].token};
}
