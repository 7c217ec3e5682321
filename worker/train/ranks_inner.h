/* ranks_inner.h - between ranks.c and ranks_launch.c. */
#ifndef TRAIN_RANKS_INNER_H
#define TRAIN_RANKS_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "worker/train/ranks.h"

enum { RANKS_MOST = 64 };

typedef struct peer {
    int socket; /* -1: none */
    pid_t pid;
    bool forked; /* and not waited for yet */
} peer;

struct ranks {
    int number, count, local, here;
    peer *peers;         /* by number; a rank other than 0 has rank 0 alone */
    atomic_int lost;     /* the first one that is gone; 0: none */
    atomic_bool leaving; /* a rank that waits for rank 0's end */
    bool dismissed;      /* rank 0 has said that it is over */
    bool watching;
    pthread_t watcher;
    int wake; /* event that ends the watcher */
    void (*when_lost)(void *state);
    void *when_lost_state;
};

status ranks_create(int number, int count, ranks **out);
void ranks_close(ranks **out);
void ranks_leave_signals_to_the_first(void);
/* All bytes, or ERR_IO. */
status ranks_send(int socket, const void *bytes, size_t count);
status ranks_receive(int socket, void *bytes, size_t count);

#endif
