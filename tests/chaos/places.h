/* places.h - every place of common/fault.h, by its whole name, and what has to go on in a run so that it is reached.
 *
 * The layer refuses a place that is not listed; the suite fails when one that is listed was not hit often enough. */
#ifndef CHAOS_PLACES_H
#define CHAOS_PLACES_H

#include <stddef.h>

/* What goes on besides trainings that end well. */
enum {
    WITH_FAILURES = 1, /* trainers crash, diverge, stop by themselves */
    WITH_LEAVING = 2,  /* workers are told to go, and come back */
    WITH_FROST = 4,    /* workers are frozen for longer than their leases */
    WITH_STRANGER = 8, /* a worker with another data set looks in */
    WITH_FILES = 16,   /* a worker over TCP, which has to fetch the weights; and trained ones are kept */
    WITH_FULL = 32,    /* the coordinator's disk is full for a while */
};

#define SENT(ROW, side, kind, with)                                                                                    \
    ROW(side " sends " kind, with)                                                                                     \
    ROW(side " has sent " kind, with)
#define HEARD(ROW, kind, with)                                                                                         \
    ROW("worker hears " kind, with)                                                                                    \
    ROW("worker has heard " kind, with)
#define SPOOLED(ROW, kind, with)                                                                                       \
    ROW("worker spools " kind, with)                                                                                   \
    ROW("worker has spooled " kind, with)                                                                              \
    ROW("worker forgets " kind, with)                                                                                  \
    ROW("worker has forgotten " kind, with)

// clang-format off
#define COORDINATOR_PLACES(ROW)                           \
    ROW("coordinator opens the run", 0)                   \
    ROW("coordinator has opened the run", 0)              \
    ROW("coordinator listens", 0)                         \
    ROW("coordinator hears Hello", 0)                     \
    ROW("coordinator hears WorkRequest", 0)               \
    ROW("coordinator hears Accepted", 0)                  \
    ROW("coordinator hears Progress", 0)                  \
    ROW("coordinator hears Heartbeat", 0)                 \
    ROW("coordinator hears Result", 0)                    \
    ROW("coordinator hears Failed", WITH_FAILURES)        \
    ROW("coordinator hears Yield", WITH_LEAVING)          \
    ROW("coordinator hears BlobAck", WITH_FILES)          \
    ROW("coordinator hears Blob", WITH_LEAVING)           \
    ROW("coordinator hears Goodbye", 0)                   \
    ROW("coordinator writes leased", 0)                   \
    ROW("coordinator writes done", 0)                     \
    ROW("coordinator writes stopped", WITH_FAILURES)      \
    ROW("coordinator writes failed", WITH_FAILURES)       \
    ROW("coordinator writes lost", WITH_FROST)            \
    ROW("coordinator writes yielded", WITH_LEAVING)       \
    ROW("coordinator writes late", WITH_FROST)            \
    ROW("coordinator commits", 0)                         \
    ROW("coordinator has committed", 0)                   \
    ROW("coordinator takes a turn back", WITH_FULL)       \
    ROW("coordinator puts a file in its place", WITH_LEAVING)     \
    ROW("coordinator has put a file in its place", WITH_LEAVING)  \
    SENT(ROW, "coordinator", "Welcome", 0)                \
    SENT(ROW, "coordinator", "Refused", WITH_STRANGER)    \
    SENT(ROW, "coordinator", "HelloAgain", 0)             \
    SENT(ROW, "coordinator", "Candidate", 0)              \
    SENT(ROW, "coordinator", "NoWork", 0)                 \
    SENT(ROW, "coordinator", "Heartbeat", 0)              \
    SENT(ROW, "coordinator", "Stop", WITH_FROST)          \
    SENT(ROW, "coordinator", "ResultAck", 0)              \
    SENT(ROW, "coordinator", "Blob", WITH_FILES)          \
    SENT(ROW, "coordinator", "BlobAck", WITH_LEAVING)     \
    ROW("coordinator sweeps its log", 0)                  \
    ROW("coordinator writes its report", 0)               \
    ROW("coordinator has written its report", 0)          \
    ROW("coordinator says farewell", 0)                   \
    ROW("coordinator has said farewell", 0)

#define WORKER_PLACES(ROW)                                \
    ROW("worker opens its spool", 0)                      \
    ROW("worker has opened its spool", 0)                 \
    ROW("worker has compared its data", 0)                \
    SENT(ROW, "worker", "Hello", 0)                       \
    SENT(ROW, "worker", "WorkRequest", 0)                 \
    SENT(ROW, "worker", "Accepted", 0)                    \
    SENT(ROW, "worker", "Progress", 0)                    \
    SENT(ROW, "worker", "Heartbeat", 0)                   \
    SENT(ROW, "worker", "Result", 0)                      \
    SENT(ROW, "worker", "Failed", WITH_FAILURES)          \
    SENT(ROW, "worker", "Yield", WITH_LEAVING)            \
    SENT(ROW, "worker", "BlobAck", WITH_FILES)            \
    SENT(ROW, "worker", "Blob", WITH_LEAVING)             \
    SENT(ROW, "worker", "Goodbye", 0)                     \
    HEARD(ROW, "Welcome", 0)                              \
    HEARD(ROW, "Refused", WITH_STRANGER)                  \
    HEARD(ROW, "HelloAgain", 0)                           \
    HEARD(ROW, "Candidate", 0)                            \
    HEARD(ROW, "NoWork", 0)                               \
    HEARD(ROW, "Stop", WITH_FROST)                        \
    HEARD(ROW, "ResultAck", 0)                            \
    HEARD(ROW, "Blob", WITH_FILES)                        \
    HEARD(ROW, "BlobAck", WITH_LEAVING)                   \
    ROW("worker hears Heartbeat", 0)                      \
    ROW("worker starts a trainer", 0)                     \
    ROW("worker has started a trainer", 0)                \
    ROW("worker hears its trainer say hello", 0)          \
    ROW("worker hears its trainer say iteration", 0)      \
    ROW("worker hears its trainer say epoch", 0)          \
    ROW("worker hears its trainer say checkpointed", WITH_LEAVING) \
    ROW("worker hears its trainer say stopped", WITH_FAILURES)     \
    ROW("worker hears its trainer say done", 0)           \
    ROW("worker hears its trainer say failed", WITH_FAILURES)      \
    SPOOLED(ROW, "Result", 0)                             \
    SPOOLED(ROW, "Failed", WITH_FAILURES)                 \
    SPOOLED(ROW, "Yield", WITH_LEAVING)                   \
    ROW("worker misses the coordinator", WITH_FROST)      \
    ROW("worker finds the coordinator again", WITH_FROST) \
    ROW("worker is told to go", WITH_LEAVING)             \
    ROW("worker ends", 0)
// clang-format on

typedef struct place {
    const char *name;
    int with;
} place;

#define PLACE_AS_ROW(name, with) {name, with},
static const place places[] = {COORDINATOR_PLACES(PLACE_AS_ROW) WORKER_PLACES(PLACE_AS_ROW)};
enum { PLACES = sizeof places / sizeof *places };

#endif
