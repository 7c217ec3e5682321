/* fault.h - places in coordinator and worker at which the chaos tests kill or stop them, and mistakes that those tests must find.
 *
 * Each step of the protocol calls one of these macros. Built with `make FAULTS=1`, for tests alone, the call writes a line into the
 * history of the test run, and may be the program's last: tests/chaos/layer. Otherwise nothing of it is in the program.
 *
 * A place's whole name is what it is given here and, after a blank, the kind of the message or the word: "coordinator hears Result".
 * tests/chaos/places.h lists all of them. */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#include <stddef.h>
#include <stdint.h>

#ifdef MENDEL_FAULTS

struct Mendel__Envelope;
void fault_place(const char *place, const char *word);
void fault_message(const char *place, const struct Mendel__Envelope *e);
void fault_packed(const char *place, const void *data, size_t count);
void fault_trainer(const char *place, int kind);
void fault_attempt(const char *place, const char *word, int64_t candidate, int64_t attempt, uint64_t epoch);
void fault_note(const char *words, const char *word, int64_t candidate, int64_t attempt, uint64_t epoch);

#define FAULT(place)                     fault_place((place), "")
#define FAULT_WORD(place, word)          fault_place((place), (word))
#define FAULT_MESSAGE(place, e)          fault_message((place), (e))
#define FAULT_PACKED(place, data, count) fault_packed((place), (data), (count))
#define FAULT_TRAINER(place, kind)       fault_trainer((place), (kind))
#define FAULT_ATTEMPT(place, word, a)    fault_attempt((place), (word), (a)->candidate, (a)->attempt, (a)->epoch)
/* Only a line of the history. */
#define FAULT_NOTE(words, word, a) fault_note((words), (word), (a)->candidate, (a)->attempt, (a)->epoch)

#else

#define FAULT(place)                     ((void)0)
#define FAULT_WORD(place, word)          ((void)0)
#define FAULT_MESSAGE(place, e)          ((void)0)
#define FAULT_PACKED(place, data, count) ((void)0)
#define FAULT_TRAINER(place, kind)       ((void)0)
#define FAULT_ATTEMPT(place, word, a)    ((void)0)
#define FAULT_NOTE(words, word, a)       ((void)0)

#endif

/* `make SEEDED=name` builds one of these mistakes in. A chaos test that does not find it is worth nothing. */
#ifndef SEEDED_ack_before_commit
#define SEEDED_ack_before_commit 0 /* answers leave before what they say is on the disk */
#endif
#ifndef SEEDED_spool_not_synced
#define SEEDED_spool_not_synced 0 /* deliveries are written, and left to the system's caches */
#endif
#ifndef SEEDED_token_ignored
#define SEEDED_token_ignored 0 /* whatever comes for a candidate is taken for its latest attempt */
#endif
#ifndef SEEDED_no_lease_grace
#define SEEDED_no_lease_grace 0 /* leases do not get a full lease time after a restart of the coordinator */
#endif
#define SEEDED(name) (SEEDED_##name)

#endif
