#include "coordinator/server/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/array.h"
#include "common/clock.h"

static const char own_line[] = "mendel-keys 1", workers_line[] = "mendel-workers 1";
enum { OWN_BYTES_MOST = 4096, WORKERS_BYTES_MOST = 1 << 20, LINE_WORDS = 3 };
/* Another process changes the list in a moment; one that takes longer hangs. */
static const int64_t lock_patience_ms = 5000;

/* ---- the folder ---- */

static char *path_in(const char *run_folder, const char *name)
{
    char *folder = path_join(run_folder, "keys"), *path = folder ? path_join(folder, name) : NULL;
    free(folder);
    return path;
}

char *keys_workers_path(const char *run_folder)
{
    return path_in(run_folder, "workers");
}

static status check_folder(const char *folder)
{
    struct stat about;
    if (lstat(folder, &about)) return FAIL(fs_status_of_errno(errno), "cannot look at %s: %s", folder, strerror(errno));
    if (!S_ISDIR(about.st_mode) || about.st_uid != geteuid())
        return FAIL(ERR_REFUSED, "%s was expected to be a folder of the user's own", folder);
    if (about.st_mode & 077)
        return FAIL(ERR_REFUSED, "%s has keys in it and is open to others (mode %03o): chmod 700 it", folder,
                    (unsigned)about.st_mode & 0777);
    return OK;
}

static status make_folder(const char *run_folder)
{
    char *folder = path_join(run_folder, "keys");
    status s = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && mkdir(folder, 0700) && errno != EEXIST)
        s = FAIL(fs_status_of_errno(errno), "cannot make %s: %s", folder, strerror(errno));
    if (s == OK) s = check_folder(folder);
    free(folder);
    return s;
}

static status lock_list(const char *run_folder, int *lock)
{
    int64_t ends = clock_ms() + lock_patience_ms;
    char *path = path_in(run_folder, "lock");
    status s = path ? fs_lock(path, lock) : FAIL(ERR_MEMORY, "out of memory");
    while (s == ERR_BUSY && clock_ms() < ends) {
        clock_sleep_ms(20);
        s = fs_lock(path, lock);
    }
    free(path);
    return s;
}

/* ---- the coordinator's own ---- */

status keys_make_pair(key_pair *out)
{
    if (zmq_curve_keypair(out->public_key, out->secret_key) == 0) return OK;
    return FAIL(ERR_UNSUPPORTED, "this machine's ZeroMQ cannot make keys (CURVE): %s", zmq_strerror(zmq_errno()));
}

/* "word KEY\n" at *at, which moves on. */
static bool take_key(char **at, const char *word, char key[ACCESS_KEY_ROOM])
{
    size_t length = strlen(word);
    char *end = strchr(*at, '\n');
    if (!end || strncmp(*at, word, length) || (*at)[length] != ' ') return false;
    *end = '\0';
    bool good = access_is_key(*at + length + 1);
    if (good) memcpy(key, *at + length + 1, ACCESS_KEY_ROOM);
    *at = end + 1;
    return good;
}

static status read_own(const char *path, key_pair *out)
{
    char *text, *at;
    TRY(access_read_private(path, OWN_BYTES_MOST, &text));
    size_t length = strlen(text);
    at = text + sizeof own_line - 1;
    bool good = text_starts_with(text, own_line) && *at++ == '\n' && take_key(&at, "public", out->public_key) &&
                take_key(&at, "secret", out->secret_key) && !*at;
    char public_key[ACCESS_KEY_ROOM];
    good = good && !zmq_curve_public(public_key, out->secret_key) && !strcmp(public_key, out->public_key);
    access_wipe(text, length);
    free(text);
    return good ? OK : FAIL(ERR_FORMAT, "%s is damaged: a pair of keys was expected", path);
}

static status write_own(const char *path, const key_pair *own)
{
    text t = {0};
    text_add(&t, "%s\npublic %s\nsecret %s\n", own_line, own->public_key, own->secret_key);
    status s = text_status(&t);
    if (s == OK) s = fs_write_mode(path, t.bytes, t.length, 0600);
    access_wipe_growing(&t);
    return s;
}

status keys_open(const char *run_folder, key_pair *own)
{
    TRY(make_folder(run_folder));
    char *path = path_in(run_folder, "coordinator");
    status s = path ? read_own(path, own) : FAIL(ERR_MEMORY, "out of memory");
    if (s == ERR_NOT_FOUND) {
        s = keys_make_pair(own);
        if (s == OK) s = write_own(path, own);
    }
    if (s != OK) access_wipe(own, sizeof *own);
    free(path);
    return s;
}

/* ---- the list ---- */

void worker_keys_free(worker_keys *k)
{
    free(k->items);
    *k = (worker_keys){0};
}

static const worker_key *find(const worker_keys *k, const char *name)
{
    for (size_t i = 0; i < k->count; i++)
        if (!strcmp(k->items[i].name, name)) return &k->items[i];
    return NULL;
}

static status put(worker_keys *k, const char *name, const char *public_key, int64_t added_ms)
{
    TRY(array_room(&k->items, &k->room, k->count + 1));
    worker_key *item = &k->items[k->count++];
    *item = (worker_key){.added_ms = added_ms};
    strcpy(item->name, name);
    strcpy(item->public_key, public_key);
    return OK;
}

/* NAME KEY MILLISECONDS; false: it is not that. */
static bool read_line(char *line, char *words[LINE_WORDS], long long *added_ms)
{
    char *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (count == LINE_WORDS) return false;
        words[count++] = word;
    }
    return count == LINE_WORDS && access_is_name(words[0]) && access_is_key(words[1]) &&
           text_to_long(words[2], added_ms) && *added_ms >= 0;
}

static status parse_workers(const char *path, char *text, worker_keys *out)
{
    int number = 1;
    for (char *line = text, *next; line && *line; line = next, number++) {
        char *words[LINE_WORDS];
        long long added_ms;
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        if (number == 1) {
            if (strcmp(line, workers_line)) return FAIL(ERR_FORMAT, "%s:1: '%s' was expected", path, workers_line);
            continue;
        }
        if (!read_line(line, words, &added_ms))
            return FAIL(ERR_FORMAT, "%s:%d: a name, a public key and a time were expected", path, number);
        if (find(out, words[0])) return FAIL(ERR_FORMAT, "%s:%d: the name stands there twice", path, number);
        if (out->count == KEYS_MOST) return FAIL(ERR_FORMAT, "%s:%d: more keys than are accepted", path, number);
        TRY(put(out, words[0], words[1], added_ms));
    }
    return number > 1 ? OK : FAIL(ERR_FORMAT, "%s: '%s' was expected", path, workers_line);
}

status keys_read_workers(const char *path, worker_keys *out)
{
    char *text;
    *out = (worker_keys){0};
    TRY(access_read_private(path, WORKERS_BYTES_MOST, &text));
    status s = parse_workers(path, text, out);
    free(text);
    if (s != OK) worker_keys_free(out);
    return s;
}

static status write_workers(const char *run_folder, const worker_keys *k)
{
    text t = {0};
    char *path = keys_workers_path(run_folder);
    text_add(&t, "%s\n", workers_line);
    for (size_t i = 0; i < k->count; i++)
        text_add(&t, "%s %s %lld\n", k->items[i].name, k->items[i].public_key, (long long)k->items[i].added_ms);
    status s = path ? text_status(&t) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write_mode(path, t.bytes, t.length, 0600);
    text_free(&t);
    free(path);
    return s;
}

status keys_list(const char *run_folder, worker_keys *out)
{
    *out = (worker_keys){0};
    char *path = keys_workers_path(run_folder);
    status s = path ? keys_read_workers(path, out) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    if (s != ERR_NOT_FOUND) return s;
    return FAIL(ERR_NOT_FOUND, "%s has no keys: its coordinator has not listened at a tcp:// address yet (--bind)",
                run_folder);
}

/* ---- addresses ---- */

static status write_addresses(const char *run_folder, const fs_names *addresses)
{
    text t = {0};
    char *path = path_in(run_folder, "addresses");
    for (size_t i = 0; i < addresses->count; i++) text_add(&t, "%s\n", addresses->names[i]);
    status s = path ? text_status(&t) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write_mode(path, text_string(&t), t.length, 0600);
    text_free(&t);
    free(path);
    return s;
}

static status read_addresses(const char *run_folder, fs_names *out)
{
    char *text = NULL, *rest = NULL, *path = path_in(run_folder, "addresses");
    *out = (fs_names){0};
    status s = path ? access_read_private(path, ACCESS_BYTES_MOST, &text) : FAIL(ERR_MEMORY, "out of memory");
    for (char *line = s == OK ? strtok_r(text, "\n", &rest) : NULL; s == OK && line;
         line = strtok_r(NULL, "\n", &rest)) {
        s = access_check_address(line);
        if (s != OK) status_context(s, "%s", path);
        else s = fs_names_add(out, line);
    }
    if (s != OK) fs_names_free(out);
    free(text);
    free(path);
    return s;
}

/* ---- letting in ---- */

/* A new pair, its access file, its line in the list; the file first, since nobody could make it again. */
static status let_in(const char *run_folder, const key_pair *own, const fs_names *addresses, worker_keys *k,
                     const char *name, const char *path, int64_t wall_ms)
{
    key_pair pair;
    access_file a = {.addresses = *addresses};
    TRY(keys_make_pair(&pair));
    memcpy(a.server, own->public_key, sizeof a.server);
    strcpy(a.worker, name);
    memcpy(a.public_key, pair.public_key, sizeof a.public_key);
    memcpy(a.secret_key, pair.secret_key, sizeof a.secret_key);
    status s = access_write(path, &a);
    if (s == OK) s = put(k, name, pair.public_key, wall_ms);
    if (s == OK) s = write_workers(run_folder, k);
    if (s != OK) unlink(path);
    a.addresses = (fs_names){0}; /* borrowed */
    access_free(&a);
    access_wipe(&pair, sizeof pair);
    return s;
}

static status add(const char *run_folder, const key_pair *own, const char *name, const char *path, int64_t wall_ms)
{
    worker_keys k;
    fs_names addresses = {0};
    TRY(keys_list(run_folder, &k));
    status s = OK;
    if (find(&k, name))
        s = FAIL(ERR_EXISTS, "there is a key '%s' already: take another name, or revoke it first", name);
    else if (k.count >= KEYS_MOST) s = FAIL(ERR_RANGE, "there are %d keys already", KEYS_MOST);
    else if (fs_exists(path)) s = FAIL(ERR_EXISTS, "%s is there already: take another file (--out)", path);
    if (s == OK) s = read_addresses(run_folder, &addresses);
    if (s == OK) s = let_in(run_folder, own, &addresses, &k, name, path, wall_ms);
    fs_names_free(&addresses);
    worker_keys_free(&k);
    return s;
}

status keys_add(const char *run_folder, const char *name, const char *path, int64_t wall_ms)
{
    worker_keys there;
    key_pair own;
    int lock;
    if (!access_is_name(name))
        return FAIL(ERR_ARGUMENT, "a name for a key is 1 to %d letters, digits, '.', '_' and '-'", ACCESS_NAME_MOST);
    TRY(keys_list(run_folder, &there)); /* before anything is made in a folder that has no keys */
    worker_keys_free(&there);
    TRY(keys_open(run_folder, &own));
    status s = lock_list(run_folder, &lock);
    if (s == OK) {
        s = add(run_folder, &own, name, path, wall_ms);
        close(lock);
    }
    access_wipe(&own, sizeof own);
    return s;
}

static status take_off(const char *run_folder, const char *name)
{
    worker_keys k;
    TRY(keys_list(run_folder, &k));
    const worker_key *gone = find(&k, name);
    status s = gone ? OK : FAIL(ERR_NOT_FOUND, "there is no key '%s'", name);
    if (s == OK) {
        size_t at = (size_t)(gone - k.items);
        memmove(&k.items[at], &k.items[at + 1], (k.count - at - 1) * sizeof *k.items);
        k.count--;
        s = write_workers(run_folder, &k);
    }
    worker_keys_free(&k);
    return s;
}

status keys_revoke(const char *run_folder, const char *name)
{
    worker_keys there;
    int lock;
    TRY(keys_list(run_folder, &there));
    worker_keys_free(&there);
    TRY(lock_list(run_folder, &lock));
    status s = take_off(run_folder, name);
    close(lock);
    return s;
}

/* ---- publishing ---- */

/* The access file that lies in the run folder gets today's addresses. */
static status renew_access(const char *path, const key_pair *own, const fs_names *addresses, bool *has_access)
{
    access_file a;
    *has_access = fs_exists(path);
    if (!*has_access) return OK;
    TRY(access_read(path, &a));
    fs_names before = a.addresses;
    a.addresses = *addresses;
    memcpy(a.server, own->public_key, sizeof a.server);
    status s = access_write(path, &a);
    a.addresses = before;
    access_free(&a);
    return s;
}

static status publish(const char *run_folder, const char *path, const key_pair *own, const fs_names *addresses,
                      int64_t wall_ms, bool *has_access)
{
    worker_keys k;
    TRY(write_addresses(run_folder, addresses));
    status s = keys_list(run_folder, &k);
    if (s == OK) {
        worker_keys_free(&k);
        return renew_access(path, own, addresses, has_access);
    }
    if (s != ERR_NOT_FOUND) return s;
    s = let_in(run_folder, own, addresses, &k, "default", path, wall_ms);
    worker_keys_free(&k);
    *has_access = s == OK;
    return s;
}

status keys_publish(const char *run_folder, const key_pair *own, const fs_names *addresses, int64_t wall_ms,
                    bool *has_access)
{
    int lock;
    *has_access = false;
    char *path = path_join(run_folder, "access");
    if (!path) return FAIL(ERR_MEMORY, "out of memory");
    status s = lock_list(run_folder, &lock);
    if (s == OK) {
        s = publish(run_folder, path, own, addresses, wall_ms, has_access);
        close(lock);
    }
    free(path);
    return s;
}
