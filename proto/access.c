#include "proto/access.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char first_line[] = "mendel-access 1";

/* ---- the parts ---- */

bool access_is_key(const char *text)
{
    static const char digits[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    enum { GROUP = 5, BASE = 85 };
    if (strlen(text) != ACCESS_KEY_ROOM - 1) return false;
    for (size_t i = 0; i < ACCESS_KEY_ROOM - 1; i += GROUP) {
        uint64_t value = 0; /* of four bytes */
        for (size_t k = i; k < i + GROUP; k++) {
            const char *digit = strchr(digits, text[k]);
            if (!digit) return false;
            value = value * BASE + (uint64_t)(digit - digits);
        }
        if (value > UINT32_MAX) return false;
    }
    return true;
}

bool access_is_name(const char *text)
{
    size_t length = strlen(text);
    if (length < 1 || length > ACCESS_NAME_MOST || *text == '.' || *text == '-') return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 0x7f || (!isalnum(c) && !strchr("._-", c))) return false;
    }
    return true;
}

static bool is_host(const char *host, size_t length)
{
    bool brackets = length > 2 && host[0] == '[' && host[length - 1] == ']';
    const char *others = brackets ? ":.%" : ".-_";
    if (brackets) host++, length -= 2;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c > 0x7f || (!isalnum(c) && !strchr(others, c))) return false;
    }
    return length > 0;
}

status access_check_address(const char *address)
{
    static const char scheme[] = "tcp://";
    bool fits = strlen(address) <= ACCESS_ADDRESS_MOST && text_starts_with(address, scheme);
    const char *host = fits ? address + sizeof scheme - 1 : "", *colon = strrchr(host, ':');
    long long port;
    if (colon && is_host(host, (size_t)(colon - host)) && isdigit((unsigned char)colon[1]) &&
        text_to_long(colon + 1, &port) && port >= 1 && port <= 65535)
        return OK;
    return FAIL(ERR_FORMAT, "an address such as tcp://HOST:PORT was expected");
}

/* ---- secrets ---- */

void access_wipe(void *memory, size_t count)
{
    explicit_bzero(memory, count);
}

void access_wipe_text(char **text)
{
    if (*text) access_wipe(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void access_wipe_growing(text *t)
{
    if (t->bytes) access_wipe(t->bytes, t->room);
    text_free(t);
}

#ifndef __has_feature
#define __has_feature(name) 0
#endif

void access_guard_process(void)
{
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && !__has_feature(address_sanitizer) &&              \
    !__has_feature(thread_sanitizer)
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

static status check_private(const char *path, int descriptor, size_t limit)
{
    struct stat about;
    if (fstat(descriptor, &about)) return FAIL(ERR_IO, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) return FAIL(ERR_REFUSED, "%s is no file", path);
    if (about.st_uid != geteuid())
        return FAIL(ERR_REFUSED, "%s belongs to user %ld, and keys are taken only from files of one's own (user %ld)",
                    path, (long)about.st_uid, (long)geteuid());
    if (about.st_mode & 077)
        return FAIL(ERR_REFUSED, "%s has keys in it and is open to others (mode %03o): chmod 600 it", path,
                    (unsigned)about.st_mode & 0777);
    if (about.st_size < 0 || (size_t)about.st_size > limit)
        return FAIL(ERR_RANGE, "%s is larger than the %zu bytes that are accepted here", path, limit);
    return OK;
}

/* One allocation that does not move, so that no copy is left behind. */
static status read_whole(const char *path, int descriptor, size_t limit, char **text)
{
    size_t count = 0;
    ssize_t n = 1;
    char *bytes = calloc(1, limit + 1);
    if (!bytes) return FAIL(ERR_MEMORY, "out of memory");
    while (n != 0 && count < limit) {
        n = read(descriptor, bytes + count, limit - count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        count += (size_t)n;
    }
    status s = n < 0 ? FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno)) : OK;
    if (s == OK && memchr(bytes, '\0', count)) s = FAIL(ERR_FORMAT, "%s: text was expected, found a zero byte", path);
    if (s == OK) *text = bytes;
    else {
        access_wipe(bytes, limit);
        free(bytes);
    }
    return s;
}

status access_read_private(const char *path, size_t limit, char **text)
{
    *text = NULL;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (descriptor < 0) return FAIL(fs_status_of_errno(errno), "cannot open %s: %s", path, strerror(errno));
    status s = check_private(path, descriptor, limit);
    if (s == OK) s = read_whole(path, descriptor, limit, text);
    close(descriptor);
    return s;
}

/* ---- reading ---- */

typedef struct reading {
    const char *name;
    int line;
    access_file *into;
} reading;

static status bad(const reading *r, const char *what)
{
    return FAIL(ERR_FORMAT, "%s:%d: %s", r->name, r->line, what);
}

/* Of "server", "public" and "secret". */
static status take_key(const reading *r, const char *keyword, const char *value, char *into)
{
    text words = {0};
    if (*into) text_add(&words, "'%s' stands there twice", keyword);
    else if (!access_is_key(value)) text_add(&words, "%s: a key of 40 characters (Z85) was expected", keyword);
    status s = text_status(&words);
    if (s == OK && words.length) s = bad(r, words.bytes);
    text_free(&words);
    if (s == OK) memcpy(into, value, ACCESS_KEY_ROOM);
    return s;
}

static status take_name(const reading *r, const char *value)
{
    if (*r->into->worker) return bad(r, "'worker' stands there twice");
    if (!access_is_name(value)) return bad(r, "worker: a name of letters, digits, '.', '_' and '-' was expected");
    strcpy(r->into->worker, value);
    return OK;
}

static status take_address(const reading *r, const char *value)
{
    if (r->into->addresses.count == ACCESS_ADDRESSES_MOST) return bad(r, "more addresses than are accepted (64)");
    if (access_check_address(value) != OK) return bad(r, "address: tcp://HOST:PORT was expected");
    return fs_names_add(&r->into->addresses, value);
}

/* `line` is cut into its two words. What else stands there is not repeated in words: it may be a secret. */
static status take_line(const reading *r, char *line)
{
    char *keyword = line + strspn(line, " \t"), *end = keyword + strlen(keyword);
    while (end > keyword && strchr(" \t\r", end[-1])) *--end = '\0';
    if (!*keyword || *keyword == '#') return OK;
    char *value = keyword + strcspn(keyword, " \t");
    if (*value) *value++ = '\0';
    value += strspn(value, " \t");
    access_file *a = r->into;
    if (!strcmp(keyword, "address")) return take_address(r, value);
    if (!strcmp(keyword, "server")) return take_key(r, keyword, value, a->server);
    if (!strcmp(keyword, "worker")) return take_name(r, value);
    if (!strcmp(keyword, "public")) return take_key(r, keyword, value, a->public_key);
    if (!strcmp(keyword, "secret")) return take_key(r, keyword, value, a->secret_key);
    return bad(r, "address, server, worker, public or secret was expected");
}

static status check_whole(const char *name, const access_file *a)
{
    const char *missing = !a->addresses.count ? "address"
                          : !*a->server       ? "server"
                          : !*a->worker       ? "worker"
                          : !*a->public_key   ? "public"
                          : !*a->secret_key   ? "secret"
                                              : NULL;
    return missing ? FAIL(ERR_FORMAT, "%s: the line '%s' is missing", name, missing) : OK;
}

/* Cuts `text` into lines. */
static status parse(const char *name, char *text, access_file *out)
{
    reading r = {name, 1, out};
    status s = OK;
    for (char *line = text, *next; s == OK && line; line = next, r.line++) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        if (r.line > 1) s = take_line(&r, line);
        else if (strcmp(line, first_line)) s = bad(&r, "'mendel-access 1' was expected: this is no access file");
    }
    if (s == OK) s = check_whole(name, out);
    if (s != OK) access_free(out);
    return s;
}

status access_parse(const char *name, const char *text, access_file *out)
{
    *out = (access_file){0};
    char *copy = text_copy(text);
    if (!copy) return FAIL(ERR_MEMORY, "out of memory");
    size_t length = strlen(copy);
    status s = parse(name, copy, out);
    access_wipe(copy, length);
    free(copy);
    return s;
}

status access_read(const char *path, access_file *out)
{
    *out = (access_file){0};
    char *text;
    TRY(access_read_private(path, ACCESS_BYTES_MOST, &text));
    size_t length = strlen(text);
    status s = parse(path, text, out);
    access_wipe(text, length);
    free(text);
    return s;
}

/* ---- writing ---- */

status access_write(const char *path, const access_file *a)
{
    text t = {0};
    text_add(&t, "%s\n# Lets a worker in. Whoever can read it can work for the run: keep it to yourself.\n",
             first_line);
    for (size_t i = 0; i < a->addresses.count; i++) text_add(&t, "address %s\n", a->addresses.names[i]);
    text_add(&t, "server  %s\nworker  %s\npublic  %s\nsecret  %s\n", a->server, a->worker, a->public_key,
             a->secret_key);
    status s = text_status(&t);
    if (s == OK) s = fs_write_mode(path, t.bytes, t.length, 0600);
    access_wipe_growing(&t);
    return s;
}

void access_free(access_file *a)
{
    fs_names_free(&a->addresses);
    access_wipe(a, sizeof *a);
}
