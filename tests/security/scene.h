/* scene.h - one real coordinator that listens over TCP with keys, and guests who talk to it as workers do, or as they should not.
 *
 * Every test has a run folder of its own, with a small data set and a file for weights. Whatever is expected and does not come within
 * a deadline fails the test with what the coordinator has printed. */
#ifndef TESTS_SECURITY_SCENE_H
#define TESTS_SECURITY_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <czmq.h>

#include "coordinator/store/store.h"
#include "proto/access.h"
#include "proto/wire.h"

enum { WEIGHTS_BYTES = 3 << 20 };

typedef struct scene {
    char *folder, *run;
    char *endpoint;     /* where guests find it */
    access_file access; /* of the key "default" */
    pid_t coordinator;
    int printed;
    char *print;
    size_t print_length, print_room;
    int slower; /* factor for deadlines, of a build with sanitizers */
} scene;

/* cmocka's setup and teardown: *state is a scene whose coordinator listens. */
int scene_open(void **state);
int scene_close(void **state);

bool scene_printed(scene *s, const char *words);
void scene_expect_print(scene *s, const char *words);
char *scene_path(const scene *s, const char *name); /* below its folder; the caller frees */
/* `coordinator keys ...` as a process; must succeed. NULL ends the words. */
void scene_keys(scene *s, ...);
/* Keys of one more worker. */
void scene_add_key(scene *s, const char *name, access_file *out);
/* Bytes of memory that the coordinator has in use. */
int64_t scene_memory(const scene *s);
/* Stop the coordinator, so that the store can be read. */
void scene_stop(scene *s);

/* ---- guests ---- */

typedef struct guest {
    scene *scene;
    zsock_t *socket;
    wire_ids ids;
    char worker[WIRE_ID_ROOM]; /* its routing id too */
    const char *host;          /* that it says it is */
    int64_t slots;
    bool careless;      /* what cannot be sent is not missed */
    uint64_t number;    /* of its last request */
    envelope *welcomed; /* the last Welcome */
} guest;

/* A socket that is connected with these keys (NULL: none), and has said nothing. */
guest *guest_create(scene *s, const access_file *keys);
/* The same, under another worker's id. */
guest *guest_create_as(scene *s, const access_file *keys, const char *worker);
void guest_destroy(guest **g);
void guest_say(guest *g, envelope_kind kind, void *body);
/* One Hello; with `digests` it says that it has the data set of the last Welcome. */
void guest_hello(guest *g, bool digests);
/* Hello until it is welcome. */
void guest_greet(guest *g);
/* The next message of this kind; others are left out. The caller frees it with wire_free. */
envelope *guest_expect(guest *g, envelope_kind kind);
/* The next message of any kind within this time; NULL: none. */
envelope *guest_hear(guest *g, int64_t for_ms);
/* Nothing comes, for as long as an answer would take. */
void guest_expect_silence(guest *g);
/* Ask for work once, in a slot. */
void guest_ask(guest *g, int64_t slot);
/* Ask, and get a candidate. */
token guest_lease(guest *g, int64_t slot);
/* Send a good result; its verdict. */
Mendel__Verdict guest_deliver(guest *g, token t);
void guest_heartbeat(guest *g, const token *held, size_t count);
/* One that is welcome and has a candidate. */
guest *guest_at_work(scene *s, const access_file *keys, token *lease);
/* Ask for a piece of the weights. */
void guest_ask_piece(guest *g, int64_t offset, uint64_t proof);

void need(status s);

#endif
