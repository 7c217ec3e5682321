#include "coordinator/dashboard/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"

enum { TOKEN_BYTES = TOKEN_DIGITS / 2 };

/* ---- the token ---- */

static bool is_token(const char *words)
{
    return strspn(words, "0123456789abcdef") == TOKEN_DIGITS && !words[TOKEN_DIGITS + (words[TOKEN_DIGITS] == '\n')];
}

static status make_token(const char *path, char token[TOKEN_ROOM])
{
    unsigned char random[TOKEN_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return FAIL(ERR_IO, "no random numbers: %s", strerror(errno));
    for (int i = 0; i < TOKEN_BYTES; i++) {
        token[2 * i] = "0123456789abcdef"[random[i] >> 4];
        token[2 * i + 1] = "0123456789abcdef"[random[i] & 15];
    }
    token[TOKEN_DIGITS] = '\n';
    status s = fs_write_mode(path, token, TOKEN_DIGITS + 1, 0600);
    token[TOKEN_DIGITS] = '\0';
    return s;
}

status door_token(const char *path, char token[TOKEN_ROOM])
{
    struct stat information;
    char *kept = NULL;
    size_t count;
    if (lstat(path, &information)) return make_token(path, token);
    bool ours = S_ISREG(information.st_mode) && information.st_uid == geteuid() && !(information.st_mode & 077);
    if (!ours) log_warning("%s could be read by others: a new token is made", path);
    else if (fs_read(path, TOKEN_ROOM, &kept, &count) == OK && is_token(kept)) {
        memcpy(token, kept, TOKEN_DIGITS);
        token[TOKEN_DIGITS] = '\0';
        free(kept);
        return OK;
    }
    free(kept);
    TRY(fs_remove(path)); /* a link, or of another mode */
    return make_token(path, token);
}

bool door_token_equal(const char *given, const char token[TOKEN_ROOM])
{
    size_t length = given ? strlen(given) : 0;
    volatile unsigned char differ = length != TOKEN_DIGITS; /* how long a token is, is no secret */
    for (size_t i = 0; i < TOKEN_DIGITS; i++) {
        unsigned char other = length ? (unsigned char)given[i < length ? i : length] : 0;
        differ |= (unsigned char)(other ^ (unsigned char)token[i]);
    }
    return !differ;
}

const char *door_bearer(const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "bearer ", 7)) return NULL;
    authorization += 7;
    return authorization + strspn(authorization, " ");
}

/* ---- the Host ---- */

static bool is_port(const char *words)
{
    size_t digits = strspn(words, "0123456789");
    return digits >= 1 && digits <= 5 && !words[digits];
}

static bool is_address(int family, const char *words)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(family, words, address) == 1;
}

static bool is_name(const char *words, const char *name)
{
    return name && *name && !strcasecmp(words, name);
}

bool door_host_is_ours(const char *host, const char *machine, const char *named)
{
    char name[256];
    bool bracketed = host && *host == '[';
    const char *start = bracketed ? host + 1 : host;
    size_t length = host ? strcspn(start, bracketed ? "]" : ":") : 0;
    if (!length || length >= sizeof name) return false;
    memcpy(name, start, length);
    name[length] = '\0';
    const char *rest = start + length;
    if (bracketed && *rest++ != ']') return false;
    if (*rest && (*rest != ':' || !is_port(rest + 1))) return false;
    if (bracketed) return is_address(AF_INET6, name);
    if (name[length - 1] == '.') name[length - 1] = '\0'; /* a whole name may end so */
    return is_address(AF_INET, name) || is_name(name, "localhost") || is_name(name, machine) || is_name(name, named);
}
