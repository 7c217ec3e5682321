#include "coordinator/server/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"
#include "proto/access.h"

enum { HOST_ROOM = 256 };
static const char scheme[] = "tcp://";

/* Take an address of these parts, unless it is there already. */
static status add(fs_names *list, const char *host, const char *port)
{
    text address = {0};
    text_add(&address, "%s%s:%s", scheme, host, port);
    status s = text_status(&address);
    bool there = list->count >= ACCESS_ADDRESSES_MOST;
    for (size_t i = 0; s == OK && !there && i < list->count; i++) there = !strcmp(list->names[i], address.bytes);
    if (s == OK) s = access_check_address(address.bytes);
    if (s == OK && !there) s = fs_names_add(list, address.bytes);
    text_free(&address);
    return s;
}

/* ---- what the user says ---- */

/* The colon in front of the port; NULL: there is none. Colons in brackets belong to an address. */
static const char *find_port(const char *word)
{
    const char *bracket = strrchr(word, ']'), *colon = strrchr(word, ':');
    return colon && (!bracket || colon > bracket) ? colon : NULL;
}

static status add_word(fs_names *list, const char *word, const char *port)
{
    const char *host = text_starts_with(word, scheme) ? word + strlen(scheme) : word, *colon = find_port(host);
    char *alone = text_copy_bytes(host, colon ? (size_t)(colon - host) : strlen(host));
    if (!alone) return FAIL(ERR_MEMORY, "out of memory");
    status s = add(list, alone, colon ? colon + 1 : port);
    free(alone);
    if (s != ERR_FORMAT) return s;
    return FAIL(ERR_ARGUMENT, "--advertise: HOST, HOST:PORT or tcp://HOST:PORT was expected, found '%s'", word);
}

static status add_said(fs_names *list, const char *advertise, const char *port)
{
    char *copy = text_copy(advertise), *rest = NULL;
    status s = copy ? OK : FAIL(ERR_MEMORY, "out of memory");
    for (char *word = copy ? strtok_r(copy, ", ", &rest) : NULL; s == OK && word; word = strtok_r(NULL, ", ", &rest))
        s = add_word(list, word, port);
    free(copy);
    if (s == OK && !list->count) s = FAIL(ERR_ARGUMENT, "--advertise: an address was expected");
    return s;
}

/* ---- what the machine has ---- */

static status add_host_name(fs_names *list, const char *port)
{
    char host[HOST_ROOM] = "";
    if (gethostname(host, sizeof host - 1) || !*host || !strcmp(host, "localhost")) return OK;
    status s = add(list, host, port);
    return s == ERR_FORMAT ? OK : s; /* a name that no address can have */
}

/* Which interfaces are meant. */
typedef struct wanted {
    bool loopback, six; /* loopback alone, or all others; IPv6 too */
} wanted;

/* The address of an interface as it stands in an endpoint; false: it is not wanted. */
static bool format_address(const struct ifaddrs *i, wanted w, char host[HOST_ROOM])
{
    char digits[INET6_ADDRSTRLEN];
    bool loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || loopback != w.loopback) return false;
    const struct sockaddr_in *four = (const struct sockaddr_in *)i->ifa_addr;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)i->ifa_addr;
    int family = i->ifa_addr->sa_family;
    bool takes_six = family == AF_INET6 && w.six && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
    if (family != AF_INET && !takes_six) return false;
    const void *address = takes_six ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr;
    if (!inet_ntop(family, address, digits, sizeof digits)) return false;
    snprintf(host, HOST_ROOM, takes_six ? "[%s]" : "%s", digits);
    return true;
}

static status add_interfaces(fs_names *list, const char *port, wanted w)
{
    struct ifaddrs *all = NULL;
    char host[HOST_ROOM];
    status s = OK;
    if (getifaddrs(&all)) return OK; /* the name has to do */
    for (const struct ifaddrs *i = all; s == OK && i; i = i->ifa_next)
        if (format_address(i, w, host)) s = add(list, host, port);
    freeifaddrs(all);
    return s;
}

static bool is_wildcard(const char *host)
{
    static const char *const all[] = {"*", "0.0.0.0", "[::]"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(host, all[i])) return true;
    return false;
}

static status add_own(fs_names *list, const char *host, const char *port)
{
    if (!is_wildcard(host)) return add(list, host, port);
    TRY(add_host_name(list, port));
    size_t names = list->count;
    wanted w = {.six = *host == '['};
    TRY(add_interfaces(list, port, w));
    w.loopback = true;
    return list->count == names ? add_interfaces(list, port, w) : OK;
}

status addresses_find(const char *endpoint, const char *advertise, fs_names *out)
{
    *out = (fs_names){0};
    const char *host = text_starts_with(endpoint, scheme) ? endpoint + strlen(scheme) : NULL;
    const char *colon = host ? find_port(host) : NULL;
    if (!colon) return FAIL(ERR_ARGUMENT, "'%s' is no tcp:// endpoint with a port", endpoint);
    char *alone = text_copy_bytes(host, (size_t)(colon - host));
    status s = alone ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = *advertise ? add_said(out, advertise, colon + 1) : add_own(out, alone, colon + 1);
    free(alone);
    if (s != OK) fs_names_free(out);
    return s;
}
