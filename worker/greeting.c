#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/client_inner.h"

static const char *const split_names[DATA_SPLITS] = {"train", "val", "test"};
/* Refused for now (the run is full): how long until the next Hello. */
static const int64_t later_ms = 5000;

/* ---- Hello ---- */

static size_t write_digests(client *c, Mendel__Digest *list, Mendel__Digest **out)
{
    size_t count = 0;
    for (int split = 0; c->checked && split < DATA_SPLITS; split++) {
        if (!c->data.has[split]) continue;
        wire_digest_write(split_names[split], &c->data.digests[split], &list[count]);
        out[count] = &list[count];
        count++;
    }
    return count;
}

static void write_device(const client_place *place, Mendel__Device *d)
{
    *d = (Mendel__Device)MENDEL__DEVICE__INIT;
    d->name = place->name;
    d->model = place->about.model;
    d->threads = place->threads;
    d->memory = place->about.memory;
    d->precision = place->about.precision;
    d->precisions = place->about.precisions.names;
    d->n_precisions = place->about.precisions.count;
}

static status say_hello(client *c)
{
    Mendel__Hello hello = MENDEL__HELLO__INIT;
    Mendel__Device device;
    Mendel__Digest digests[DATA_SPLITS], *digest_list[DATA_SPLITS];
    Mendel__Token *tokens = NULL, **held = NULL;
    write_device(c->place, &device);
    hello.worker = (char *)spool_worker_id(c->spool);
    hello.version = (char *)MENDEL_VERSION;
    hello.host = c->host;
    hello.pid = getpid();
    hello.device = &device;
    hello.slots = c->place->slots;
    hello.data = digest_list;
    hello.n_data = write_digests(c, digests, digest_list);
    hello.epoch_seen = c->epoch;
    hello.external = c->o->command != NULL;
    status s = report_held(c, &tokens, &held, &hello.n_held);
    hello.held = held;
    if (s == OK) s = client_send(c, MENDEL__ENVELOPE__BODY_HELLO, &hello);
    free(tokens);
    free(held);
    return s;
}

/* ---- the data set ---- */

/* The run's relative paths: where they start here. */
static const char *data_root(const client *c)
{
    if (c->o->data_root) return c->o->data_root;
    return c->local ? c->run->data_root : "";
}

static void start_check(client *c)
{
    check_request request = {.data_yaml = c->run->data_yaml, .data_root = data_root(c), .inside = !c->local};
    free(c->checked_yaml);
    c->checked_yaml = text_copy(c->run->data_yaml);
    c->checked = false;
    check_destroy(&c->check);
    status s = c->checked_yaml ? check_start(&request, &c->check) : FAIL(ERR_MEMORY, "out of memory");
    if (s != OK) client_end(c, s);
    c->state = CLIENT_CHECKING;
    log_info("run %s: comparing the data set", c->run->name);
}

/* Keep the first difference from the coordinator's digests in words. Only what both have is compared: test need not be here. */
static void compare(client *c)
{
    free(c->difference);
    c->difference = NULL;
    for (size_t i = 0; !c->difference && i < c->run->n_data; i++) {
        const Mendel__Digest *theirs = c->run->data[i];
        for (int split = 0; split < DATA_SPLITS; split++) {
            data_digest there;
            if (strcmp(theirs->split, split_names[split]) || !c->data.has[split]) continue;
            if (wire_digest_read(theirs, &there) == OK &&
                data_digest_compare(theirs->split, &c->data.digests[split], &there) != OK)
                c->difference = text_copy(status_message());
        }
    }
}

static void take_findings(client *c)
{
    if (!c->check) return;
    check_findings_free(&c->data);
    status s = check_take(c->check, &c->data);
    if (s == ERR_TIMEOUT) return;
    check_destroy(&c->check);
    if (s != OK) {
        client_end(c, s);
        return;
    }
    c->checked = true;
    FAULT("worker has compared its data");
    compare(c);
    c->state = CLIENT_GREETING;
    c->hello_ms = c->now_ms;
}

/* ---- weights ---- */

static void want_weights(client *c)
{
    const char *hash = c->run->weights_hash;
    bool known = c->weights.hash && !strcmp(c->weights.hash, hash) && c->weights.state != NEED_FAILED;
    if (known || (!*hash && c->weights.state == NEED_NOTHING)) return;
    status s =
        need_start(&c->weights, hash, c->local ? c->run->weights_path : "", NULL, spool_worker_id(c->spool), c->now_ms);
    if (s != OK) client_end(c, s);
}

static void follow_weights(client *c)
{
    need_follow(&c->weights, c->now_ms);
    if (c->weights.state != NEED_FAILED) return;
    FAIL(ERR_NOT_FOUND, "the run's weights cannot be had: %s", c->weights.words ? c->weights.words : "out of memory");
    client_end(c, ERR_NOT_FOUND);
}

/* ---- what comes ---- */

/* A first Welcome names the run. */
static void take_run(client *c, const envelope *e)
{
    wire_id run;
    if (c->ids.has_run || !wire_id_read(&e->run, &run)) return;
    c->ids.run = run;
    c->ids.has_run = true;
}

static void end_unwanted(client *c)
{
    for (size_t i = 0; i < c->run->n_unwanted; i++) work_unwanted(c, token_read(c->run->unwanted[i]));
}

static void be_welcome(client *c)
{
    bool first = c->state != CLIENT_WELCOME;
    if (c->difference) { /* nobody else has refused it */
        FAIL(ERR_REFUSED, "%s", c->difference);
        client_end(c, ERR_REFUSED);
        return;
    }
    c->state = CLIENT_WELCOME;
    c->beat_ms = c->now_ms;
    end_unwanted(c);
    want_weights(c);
    report_again(c);
    if (first) log_info("welcome to run %s", c->run->name);
}

bool greeting_knows_data(const client *c)
{
    return c->local || (c->checked && c->checked_yaml && !strcmp(c->checked_yaml, c->run->data_yaml));
}

void greeting_on_welcome(client *c, envelope **e)
{
    if (c->state == CLIENT_CHECKING && c->check) return; /* an answer to a repeated Hello */
    take_run(c, *e);
    wire_free(&c->welcomed);
    c->welcomed = *e;
    c->run = c->welcomed->welcome;
    *e = NULL;
    c->answered = true;
    c->waiting_said = false;
    bool same_data = c->checked && c->checked_yaml && !strcmp(c->checked_yaml, c->run->data_yaml);
    /* A coordinator elsewhere may not leave the check out: it is also what keeps trainings below the data root. */
    if (!c->run->check && greeting_knows_data(c)) be_welcome(c);
    else if (!same_data) start_check(c);
    else {
        compare(c);
        c->state = CLIENT_GREETING; /* it will hear what we know at the next Hello */
        c->hello_ms = c->now_ms + LEFT_UNSENT_MS;
    }
}

void greeting_on_refused(client *c, envelope **e)
{
    const Mendel__Refused *r = (*e)->refused;
    if (r->later) {
        if (!c->waiting_said) log_info("not now: %s; trying again", r->detail);
        c->waiting_said = true;
        c->state = CLIENT_GREETING;
        c->hello_ms = c->now_ms + later_ms;
        return;
    }
    if (r->reason == MENDEL__REFUSED_REASON__REFUSED_DATA && c->difference) FAIL(ERR_REFUSED, "%s", c->difference);
    else FAIL(ERR_REFUSED, "refused by the coordinator: %s", r->detail);
    client_end(c, ERR_REFUSED);
}

void greeting_on_hello_again(client *c, envelope **e)
{
    (void)e;
    if (c->state != CLIENT_WELCOME) return; /* Hello is on its way, or will be */
    c->state = CLIENT_GREETING;
    c->hello_ms = c->now_ms;
}

void greeting_forget(client *c)
{
    check_destroy(&c->check);
    check_findings_free(&c->data);
    need_clear(&c->weights);
    wire_free(&c->welcomed);
    free(c->checked_yaml);
    free(c->difference);
    c->checked_yaml = c->difference = NULL;
    c->run = NULL;
    c->checked = false;
    c->epoch = 0;
    c->ids.has_run = false;
}

void greeting_follow(client *c)
{
    take_findings(c);
    follow_weights(c);
    if (c->over || c->state != CLIENT_GREETING || c->now_ms < c->hello_ms) return;
    c->hello_ms = c->now_ms + (say_hello(c) == OK ? client_retry_ms(c) : LEFT_UNSENT_MS);
}
