#include "tests/chaos/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/rng.h"

enum { PACKET_MOST = 65536, WAITING_MOST = 4096 };

/* ---- making two networks ---- */

const char *wire_needs(void)
{
    int how;
    pid_t child = fork();
    if (child == 0) _exit(unshare(CLONE_NEWNET) ? 1 : 0);
    bool may = child > 0 && waitpid(child, &how, 0) == child && WIFEXITED(how) && !WEXITSTATUS(how);
    if (!may) return "the right to make network namespaces";
    return access("/dev/net/tun", R_OK | W_OK) ? "/dev/net/tun" : NULL;
}

static bool set_address(int socket, struct ifreq *device, unsigned long what, const char *address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&device->ifr_addr;
    memset(in, 0, sizeof *in);
    in->sin_family = AF_INET;
    return inet_pton(AF_INET, address, &in->sin_addr) == 1 && !ioctl(socket, what, device);
}

static bool bring_up(int socket, const char *name)
{
    struct ifreq device = {.ifr_flags = IFF_UP | IFF_RUNNING};
    strncpy(device.ifr_name, name, IFNAMSIZ - 1);
    return !ioctl(socket, SIOCSIFFLAGS, &device);
}

/* The end of the wire in the network that this process is in: a TUN device, open. -1 with errno. */
static int make_end(const char *own, const char *other)
{
    struct ifreq device = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strcpy(device.ifr_name, "wire");
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC),
        talk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool made = tun >= 0 && talk >= 0 && !ioctl(tun, TUNSETIFF, &device) &&
                set_address(talk, &device, SIOCSIFADDR, own) && set_address(talk, &device, SIOCSIFDSTADDR, other) &&
                bring_up(talk, "wire") && bring_up(talk, "lo");
    int why = errno;
    if (talk >= 0) close(talk);
    if (!made && tun >= 0) close(tun);
    errno = why;
    return made ? tun : -1;
}

static int open_network(void)
{
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool make_network(const char *own, const char *other, int *network, int *tun)
{
    if (unshare(CLONE_NEWNET)) return false;
    *network = open_network();
    *tun = make_end(own, other);
    return *network >= 0 && *tun >= 0;
}

/* ---- carrying ---- */

typedef struct packet {
    int64_t at_ms;
    int to;
    char *bytes;
    ssize_t count;
} packet;

typedef struct carrier {
    wire_state *state;
    int ends[2];
    keyed_rng draw;
    packet *packets;
    size_t count, room;
} carrier;

static void take(carrier *c, int from, const char *bytes, ssize_t count)
{
    bool cut = from == 0 ? c->state->cut_ab : c->state->cut_ba;
    if (cut || (int)keyed_below(&c->draw, 100) < c->state->loss || c->count == WAITING_MOST) return;
    if (array_room(&c->packets, &c->room, c->count + 1) != OK) _exit(1);
    int64_t delay_ms = c->state->delay_ms + (int64_t)keyed_below(&c->draw, (uint64_t)c->state->jitter_ms + 1);
    packet *p = &c->packets[c->count++];
    *p = (packet){clock_ms() + delay_ms, c->ends[1 - from], malloc((size_t)count), count};
    if (!p->bytes) _exit(1);
    memcpy(p->bytes, bytes, (size_t)count);
}

/* Milliseconds until the next is due; -1: there is none. */
static int deliver_due(carrier *c)
{
    int64_t now = clock_ms(), next = -1;
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        packet *p = &c->packets[i];
        if (p->at_ms <= now) {
            if (write(p->to, p->bytes, (size_t)p->count) < 0 && errno == EBADF) _exit(1);
            free(p->bytes);
            continue;
        }
        if (next < 0 || p->at_ms - now < next) next = p->at_ms - now;
        c->packets[kept++] = *p;
    }
    c->count = kept;
    return (int)next;
}

static void carry(wire_state *state, uint64_t seed, int a, int b)
{
    carrier c = {.state = state, .ends = {a, b}};
    static char bytes[PACKET_MOST];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    keyed_seed(&c.draw, seed, 2, 0);
    for (;;) {
        struct pollfd items[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
        poll(items, 2, deliver_due(&c));
        for (int i = 0; i < 2; i++)
            for (ssize_t n; (n = read(c.ends[i], bytes, sizeof bytes)) > 0;) take(&c, i, bytes, n);
    }
}

/* ---- both ---- */

status wire_make(uint64_t seed, wire *out)
{
    int own = open_network(), tun_a = -1, tun_b = -1;
    *out = (wire){.a = -1, .b = -1};
    out->state = mmap(NULL, sizeof *out->state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool made = own >= 0 && out->state != MAP_FAILED && make_network(WIRE_ADDRESS_A, WIRE_ADDRESS_B, &out->a, &tun_a) &&
                make_network(WIRE_ADDRESS_B, WIRE_ADDRESS_A, &out->b, &tun_b);
    status s = made ? OK : FAIL(ERR_IO, "cannot make two networks: %s", strerror(errno));
    if (own >= 0 && setns(own, CLONE_NEWNET) && s == OK) s = FAIL(ERR_IO, "cannot go back: %s", strerror(errno));
    if (s == OK) out->pid = fork();
    if (s == OK && out->pid == 0) carry(out->state, seed, tun_a, tun_b);
    if (s == OK && out->pid < 0) s = FAIL(ERR_IO, "cannot start a wire: %s", strerror(errno));
    if (own >= 0) close(own);
    if (tun_a >= 0) close(tun_a);
    if (tun_b >= 0) close(tun_b);
    return s;
}
