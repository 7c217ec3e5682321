#include "worker/spool_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fault.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"

static const char front[] = "delivery-", magic[] = "mendel-delivery-1";
enum { HEAD_MOST = 128, FOLDERS_MOST = 100000 };

/* ---- one delivery on disk ---- */

static char *delivery_path(const spool *s, uint64_t number)
{
    text path = {0};
    text_add(&path, "%s/%s%010llu", s->folder, front, (unsigned long long)number);
    return text_take(&path);
}

static status pack_file(const envelope *e, text *out)
{
    bytes packed;
    char hash[FS_HASH_ROOM];
    TRY(wire_pack(e, &packed));
    fs_hash_bytes(packed.data, packed.count, hash);
    text_add(out, "%s %s %zu\n", magic, hash, packed.count);
    text_add_bytes(out, packed.data, packed.count);
    bytes_free(&packed);
    return text_status(out);
}

static status write_delivery(const spool *s, delivery *d)
{
    text file = {0};
    char *path = delivery_path(s, d->number);
    status result = path ? pack_file(d->e, &file) : FAIL(ERR_MEMORY, "out of memory");
    if (result == OK) result = fs_write_mode(path, file.bytes, file.length, 0600);
    d->on_disk = result == OK;
    text_free(&file);
    free(path);
    return result;
}

static bool is_delivery(const envelope *e)
{
    return e->body_case == MENDEL__ENVELOPE__BODY_RESULT || e->body_case == MENDEL__ENVELOPE__BODY_FAILED ||
           e->body_case == MENDEL__ENVELOPE__BODY_YIELD;
}

static token delivery_token(const envelope *e)
{
    return token_read(e->body_case == MENDEL__ENVELOPE__BODY_RESULT   ? e->result->token
                      : e->body_case == MENDEL__ENVELOPE__BODY_FAILED ? e->failed->token
                                                                      : e->yield->token);
}

/* The envelope in a delivery's file. ERR_FORMAT, ERR_PROTOCOL: it is damaged. */
static status unpack_file(const char *file, size_t count, envelope **out)
{
    char said[FS_HASH_ROOM] = "", found[FS_HASH_ROOM], head[HEAD_MOST];
    size_t head_length = strcspn(file, "\n"), length = 0;
    if (head_length >= sizeof head || head_length == count) return FAIL(ERR_FORMAT, "it has no first line");
    memcpy(head, file, head_length);
    head[head_length] = '\0';
    int end = -1;
    sscanf(head, "mendel-delivery-1 %32[0-9a-f] %zu%n", said, &length, &end);
    if (end != (int)head_length) return FAIL(ERR_FORMAT, "its first line is not that of a delivery");
    const char *packed = file + head_length + 1;
    if (count - head_length - 1 != length)
        return FAIL(ERR_FORMAT, "%zu bytes were expected, found %zu", length, count - head_length - 1);
    fs_hash_bytes(packed, length, found);
    if (strcmp(said, found)) return FAIL(ERR_FORMAT, "its checksum differs");
    status s = wire_unpack(packed, length, out);
    if (s == OK && !is_delivery(*out)) s = FAIL(ERR_FORMAT, "it is no delivery");
    if (s != OK) wire_free(out);
    return s;
}

static status add(spool *s, envelope **e, uint64_t number, bool on_disk)
{
    TRY(array_room(&s->items, &s->room, s->count + 1));
    delivery *d = &s->items[s->count++];
    *d = (delivery){.e = *e, .token = delivery_token(*e), .number = number, .on_disk = on_disk};
    wire_id_read(&(*e)->run, &d->run);
    *e = NULL;
    return OK;
}

/* ---- reading a folder ---- */

/* Out of the way, so that it is read no more, but not away. */
static void set_aside(const char *path)
{
    text aside = {0};
    text_add(&aside, "%s.damaged", path);
    log_warning("%s is damaged and set aside: %s", path, status_message());
    if (text_status(&aside) == OK && rename(path, aside.bytes))
        log_warning("cannot rename %s: %s", path, strerror(errno));
    text_free(&aside);
}

static status read_delivery(spool *s, const char *path, uint64_t number)
{
    char *file = NULL;
    size_t count;
    envelope *e = NULL;
    status result = fs_read(path, WIRE_BYTES_MOST + HEAD_MOST, &file, &count);
    if (result == OK) result = unpack_file(file, count, &e);
    free(file);
    if (result == ERR_MEMORY) return result;
    if (result != OK) {
        set_aside(path);
        return OK;
    }
    result = add(s, &e, number, true);
    wire_free(&e);
    return result;
}

/* Is this the name of a delivery? Then its number. */
static bool delivery_number(const char *name, uint64_t *number)
{
    long long value;
    if (!text_starts_with(name, front) || !text_to_long(name + strlen(front), &value) || value < 0) return false;
    *number = (uint64_t)value;
    return true;
}

static status read_deliveries(spool *s)
{
    fs_names names;
    TRY(fs_list(s->folder, &names)); /* sorted, and so by number */
    status result = OK;
    for (size_t i = 0; result == OK && i < names.count; i++) {
        uint64_t number;
        if (!delivery_number(names.names[i], &number)) continue;
        char *path = path_join(s->folder, names.names[i]);
        result = path ? read_delivery(s, path, number) : FAIL(ERR_MEMORY, "out of memory");
        if (number >= s->next_number) s->next_number = number + 1;
        free(path);
    }
    fs_names_free(&names);
    return result;
}

static status read_id(spool *s)
{
    char *path = path_join(s->folder, "worker-id"), *bytes = NULL;
    size_t count;
    wire_id id;
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status result = fs_read(path, HEAD_MOST, &bytes, &count);
    if (result == OK) {
        bytes[strcspn(bytes, "\n")] = '\0';
        result = wire_id_parse(bytes, &id);
        if (result != OK) set_aside(path);
    }
    free(bytes);
    if (result != OK) {
        char line[WIRE_ID_ROOM + 1];
        result = wire_id_make(&id);
        wire_id_text(&id, line);
        line[WIRE_ID_ROOM - 1] = '\n';
        if (result == OK) result = fs_write_mode(path, line, WIRE_ID_ROOM, 0600);
    }
    wire_id_text(&id, s->id);
    free(path);
    return result;
}

/* ---- choosing a folder ---- */

static status lock_folder(const char *folder, spool *s)
{
    TRY(fs_make_folders(folder, 0700));
    s->folder = path_real(folder);
    char *lock = s->folder ? path_join(s->folder, "lock") : NULL;
    status result = lock ? fs_lock(lock, &s->lock) : FAIL(ERR_MEMORY, "out of memory");
    if (result != OK) s->lock = -1;
    free(lock);
    return result;
}

static void unlock_folder(spool *s)
{
    if (s->lock >= 0) close(s->lock);
    s->lock = -1;
    free(s->folder);
    s->folder = NULL;
}

static bool has_deliveries(const char *folder)
{
    fs_names names;
    uint64_t number;
    bool found = false;
    if (fs_list(folder, &names) != OK) return false;
    for (size_t i = 0; !found && i < names.count; i++) found = delivery_number(names.names[i], &number);
    fs_names_free(&names);
    return found;
}

/* Where the folders of this user's workers are. The caller frees; NULL without memory or home. */
static char *default_place(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0] == '/') return path_join(state, "mendel/spool");
    return home && *home ? path_join(home, ".local/state/mendel/spool") : NULL;
}

/* Lock PLACE/n. ERR_BUSY if somebody has it. */
static status try_number(const char *place, int n, spool *s)
{
    char name[16];
    snprintf(name, sizeof name, "%d", n);
    char *folder = path_join(place, name);
    status result = folder ? lock_folder(folder, s) : FAIL(ERR_MEMORY, "out of memory");
    if (result != OK) unlock_folder(s);
    free(folder);
    return result;
}

/* A folder that a worker has left with something to deliver. ERR_NOT_FOUND if there is none. */
static status try_left_ones(const char *place, spool *s)
{
    fs_names names;
    status result = ERR_NOT_FOUND;
    if (fs_list(place, &names) != OK) return ERR_NOT_FOUND; /* there is no spool yet */
    for (size_t i = 0; result != OK && i < names.count; i++) {
        long long n;
        char *folder = text_to_long(names.names[i], &n) ? path_join(place, names.names[i]) : NULL;
        if (folder && n >= 0 && n < FOLDERS_MOST && has_deliveries(folder)) result = try_number(place, (int)n, s);
        free(folder);
    }
    fs_names_free(&names);
    return result == OK ? OK : ERR_NOT_FOUND;
}

static status lock_default(spool *s)
{
    char *place = default_place();
    if (!place) return FAIL(ERR_ARGUMENT, "HOME is not set, so the spool has no place: give one with --spool");
    status result = try_left_ones(place, s);
    for (int n = 0; result == ERR_NOT_FOUND || result == ERR_BUSY; n++) {
        if (n == FOLDERS_MOST) break;
        result = try_number(place, n, s);
    }
    free(place);
    return result;
}

status spool_open(const char *folder, spool **out)
{
    *out = NULL;
    spool *s = calloc(1, sizeof *s);
    if (!s) return FAIL(ERR_MEMORY, "out of memory");
    s->lock = -1;
    s->next_number = 1;
    FAULT("worker opens its spool");
    status result = folder ? lock_folder(folder, s) : lock_default(s);
    if (result == OK) result = read_id(s);
    if (result == OK) result = read_deliveries(s);
    if (result == OK) {
        spool_clean_shelves(s);
        FAULT("worker has opened its spool");
        *out = s;
        return OK;
    }
    spool_close(&s);
    return status_context(result, "the worker's spool cannot be used");
}

void spool_close(spool **s)
{
    if (!*s) return;
    for (size_t i = 0; i < (*s)->count; i++) wire_free(&(*s)->items[i].e);
    free((*s)->items);
    unlock_folder(*s);
    free(*s);
    *s = NULL;
}

const char *spool_folder(const spool *s)
{
    return s->folder;
}

const char *spool_worker_id(const spool *s)
{
    return s->id;
}

/* ---- deliveries ---- */

static void try_to_write(spool *s, delivery *d)
{
    FAULT_MESSAGE("worker spools", d->e);
    status result = write_delivery(s, d);
    if (result == OK) FAULT_MESSAGE("worker has spooled", d->e);
    if (result == OK && s->complained) log_info("the spool takes deliveries again");
    if (result != OK && !s->complained)
        log_warning("a delivery is kept in memory, since the spool does not take it: %s", status_message());
    s->complained = result != OK;
}

status spool_put(spool *s, envelope **e)
{
    wire_id run;
    if (!is_delivery(*e) || !wire_id_read(&(*e)->run, &run)) return FAIL(ERR_ARGUMENT, "a delivery was expected");
    if (spool_find(s, &run, delivery_token(*e))) {
        wire_free(e);
        return OK;
    }
    TRY(add(s, e, s->next_number, false));
    s->next_number++;
    try_to_write(s, &s->items[s->count - 1]);
    return OK;
}

static bool forget(spool *s, const wire_id *run, token t, bool handed_over)
{
    delivery *d = spool_find(s, run, t);
    if (!d) return false;
    spool_remove_file(s, d, handed_over);
    char *path = delivery_path(s, d->number);
    FAULT_MESSAGE("worker forgets", d->e);
    if (d->on_disk && path && unlink(path) && errno != ENOENT)
        log_warning("cannot remove %s: %s", path, strerror(errno)); /* delivered once more after a restart: no harm */
    FAULT_MESSAGE("worker has forgotten", d->e);
    free(path);
    wire_free(&d->e);
    size_t at = (size_t)(d - s->items);
    memmove(d, d + 1, (s->count - at - 1) * sizeof *d);
    s->count--;
    return true;
}

bool spool_remove(spool *s, const wire_id *run, token t)
{
    return forget(s, run, t, false);
}

bool spool_hand_over(spool *s, const wire_id *run, token t)
{
    return forget(s, run, t, true);
}

size_t spool_count(const spool *s)
{
    return s->count;
}

delivery *spool_at(spool *s, size_t i)
{
    return &s->items[i];
}

size_t spool_count_of(const spool *s, const wire_id *run)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) count += wire_id_equal(&s->items[i].run, run);
    return count;
}

delivery *spool_find(spool *s, const wire_id *run, token t)
{
    for (size_t i = 0; i < s->count; i++)
        if (wire_id_equal(&s->items[i].run, run) && token_equal(s->items[i].token, t)) return &s->items[i];
    return NULL;
}

void spool_retry(spool *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->items[i].on_disk) try_to_write(s, &s->items[i]);
}

size_t spool_unwritten(const spool *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) count += !s->items[i].on_disk;
    return count;
}

status spool_slot_folder(const spool *s, int64_t slot, char **folder)
{
    text path = {0};
    text_add(&path, "%s/trials/slot-%lld", s->folder, (long long)slot);
    status result = text_status(&path);
    if (result == OK) result = fs_remove(path.bytes);
    if (result == OK) result = fs_make_folders(path.bytes, 0700);
    *folder = result == OK ? text_take(&path) : NULL;
    text_free(&path);
    return result;
}
