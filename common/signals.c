#include "common/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The one global that a handler may write. */
static volatile sig_atomic_t seen = SIGNAL_NONE;

static void on_signal(int number)
{
    if (number == SIGINT) {
        if (seen == SIGNAL_END) _exit(130); /* asked twice: at once, as the shell reports an interrupt */
        seen = SIGNAL_END;
    } else if (seen == SIGNAL_NONE) seen = SIGNAL_YIELD;
}

status signals_start(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a waiting poll shall wake up */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], &action, NULL)) return FAIL(ERR_IO, "cannot catch a signal: %s", strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    return OK;
}

signals_wish signals_seen(void)
{
    return (signals_wish)seen;
}

void signals_clear(void)
{
    seen = SIGNAL_NONE;
}
