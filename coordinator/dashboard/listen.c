#include "coordinator/dashboard/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/text.h"

enum { BACKLOG = 64 };

static status bad_address(const char *said)
{
    return FAIL(ERR_ARGUMENT, "--dashboard %s: [ADDRESS:]PORT was expected, as in 8080, 0.0.0.0:8080 or [::1]:8080",
                said);
}

status listen_read(const char *said, char **address, int *port)
{
    long long number;
    const char *colon = strrchr(said, ':'), *digits = colon ? colon + 1 : said;
    *address = NULL;
    if (strspn(digits, "0123456789") != strlen(digits) || !text_to_long(digits, &number) || number > 65535)
        return bad_address(said);
    size_t length = colon ? (size_t)(colon - said) : 0;
    bool bracketed = *said == '[';
    if (colon && (!length || (bracketed && (length < 3 || said[length - 1] != ']')))) return bad_address(said);
    if (colon && !bracketed && memchr(said, ':', length)) return bad_address(said); /* IPv6 without brackets */
    *address = bracketed ? text_copy_bytes(said + 1, length - 2) : text_copy_bytes(said, length);
    *port = (int)number;
    return *address ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status listen_failed(const char *address, int port, int error)
{
    status code = error == EADDRINUSE ? ERR_BUSY : error == EADDRNOTAVAIL ? ERR_ARGUMENT : ERR_IO;
    return FAIL(code, "the dashboard cannot listen on %s port %d: %s", address, port, strerror(error));
}

static int port_of(int listening)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (getsockname(listening, (struct sockaddr *)&at, &size)) return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

/* Without blocking, since the other side may have left before it is accepted. Children do not inherit it. */
static int listen_on(const struct addrinfo *at)
{
    int on = 1, listening = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listening < 0) return -1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!bind(listening, at->ai_addr, at->ai_addrlen) && !listen(listening, BACKLOG)) return listening;
    int error = errno;
    close(listening);
    errno = error;
    return -1;
}

status listen_open(const char *address, int *port, int *listening)
{
    struct addrinfo wish = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    char digits[16];
    snprintf(digits, sizeof digits, "%d", *port);
    int code = getaddrinfo(address, digits, &wish, &found);
    if (code)
        return FAIL(ERR_ARGUMENT, "the dashboard cannot listen on %s: %s", address,
                    code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    *listening = -1;
    int error = 0;
    for (const struct addrinfo *at = found; at && *listening < 0; at = at->ai_next) {
        *listening = listen_on(at);
        if (*listening < 0) error = errno;
    }
    freeaddrinfo(found);
    if (*listening < 0) return listen_failed(address, *port, error);
    *port = port_of(*listening);
    return OK;
}

bool listen_is_any(const char *address)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET, address, &four) == 1) return four.s_addr == htonl(INADDR_ANY);
    return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

bool listen_is_loopback(int listening)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (getsockname(listening, (struct sockaddr *)&at, &size)) return false;
    if (at.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&at)->sin6_addr);
    return at.ss_family == AF_INET && ntohl(((struct sockaddr_in *)&at)->sin_addr.s_addr) >> 24 == 127;
}
