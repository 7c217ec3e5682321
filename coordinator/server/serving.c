#include "coordinator/server/serving.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/words.h"
#include "coordinator/dashboard/listen.h"
#include "coordinator/server/listening.h"

enum { EXIT_BROKEN = 3, EXIT_INTERRUPTED = 130, EXIT_TERMINATED = 143 };

/* ---- workers ---- */

static status miss_trainer(void)
{
    return FAIL(ERR_ARGUMENT,
                "--local-workers: the run's candidates are trained by a command, so --trainer CMD is needed");
}

/* Looked at before anything is started. */
static status check_trainer(const coordinator_options *o)
{
    if (o->external && o->local_workers && !*o->trainer) return miss_trainer();
    if (!*o->trainer || words_check(o->trainer) == OK) return OK;
    return status_context(ERR_ARGUMENT, "--trainer");
}

/* Workers that are started here get the command for a run whose candidates are trained by one, and only for such a run. */
static status match_trainer(const coordinator_options *o, const run *r)
{
    if (*o->trainer && !r->spec.external)
        return FAIL(ERR_REFUSED, "--trainer: the candidates of %s are trained by Mendel's own trainer", r->home);
    return r->spec.external && o->local_workers && !*o->trainer ? miss_trainer() : OK;
}

/* ---- the dashboard ---- */

/* Looked at before anything is started. */
static status check_dashboard(const coordinator_options *o)
{
    char *address = NULL;
    int port;
    if (*o->dashboard && o->no_dashboard)
        return FAIL(ERR_ARGUMENT, "--dashboard %s and --no-dashboard contradict each other", o->dashboard);
    if (!*o->dashboard) return OK;
    status s = listen_read(o->dashboard, &address, &port);
    if (s == OK && port) { /* is it free? A run that cannot have it is not to be started. */
        int listening;
        s = listen_open(*address ? address : "127.0.0.1", &port, &listening);
        if (s == OK) close(listening);
    }
    free(address);
    return s;
}

/* One that was not asked for is no reason to give up. */
static status open_dashboard(const coordinator_options *o, const run *r, dashboard **out)
{
    char id[WIRE_ID_ROOM];
    *out = NULL;
    if (o->no_dashboard) return OK;
    wire_id_text(&r->id, id);
    dashboard_options d = {.folder = r->home, .listen = o->dashboard, .id = id, .name = r->name};
    d.strategy = strategy_name(r->spec.strategy);
    d.space = &r->spec.space;
    d.fitness = r->spec.fitness;
    status s = dashboard_start(&d, out);
    if (s == OK || *o->dashboard) return s;
    log_warning("there is no dashboard: %s", status_message());
    return OK;
}

/* ---- the whole ---- */

status serving_check(const coordinator_options *o)
{
    TRY(listening_check(o));
    TRY(check_dashboard(o));
    return check_trainer(o);
}

/* Lines of a log are read by others: the token is for the terminal alone, and for whom the run folder's file is. */
static void tell_dashboard(const run *r, const dashboard *d)
{
    const char *url = dashboard_url(d);
    if (isatty(STDERR_FILENO)) log_info("dashboard: %s", url);
    else log_info("dashboard: %.*s (with its token: %s/dashboard.url)", (int)strcspn(url, "?"), url, r->home);
}

static void tell_start(const run *r, const char *endpoint, const dashboard *d)
{
    ledger_counts c;
    ledger_count(r->ledger, &c);
    log_info("run %s in %s: %lld of %lld candidates evaluated; workers connect to %s", r->name, r->home,
             (long long)c.evaluated, (long long)c.generations, endpoint);
    if (d) tell_dashboard(r, d);
    if (d && dashboard_is_public(d))
        log_warning("the dashboard can be reached from other machines, and what it says can be read on the way");
}

status serving_run(const coordinator_options *o, run *r, run_describe *describe, server_end *end)
{
    server_options to = {.heartbeat_ms = (int64_t)(o->heartbeat_s * 1000), .show = true, .describe = describe};
    to.lease_ms = (int64_t)(o->lease_s * 1000);
    to.stall_ms = (int64_t)(o->stall_timeout_s * 1000);
    listening place = {0};
    text where = {0};
    server *s = NULL;
    local_workers *workers = NULL;
    status result = match_trainer(o, r);
    if (result == OK) result = listening_open(o, r, &place, &to);
    if (result == OK) result = open_dashboard(o, r, &to.dashboard);
    if (result == OK) result = server_create(r, &to, &s);
    if (result == OK) result = listening_publish(&place, o, r, s, clock_wall_ms(), &where);
    FAULT("coordinator listens");
    if (result == OK) tell_start(r, text_string(&where), to.dashboard);
    if (result == OK && o->local_workers && !ledger_finished(r->ledger))
        result = local_start(r->folder, to.endpoint, o->trainer, o->local_workers, &workers);
    if (result == OK) result = server_run(s, workers, end);
    if (result == OK && *end == SERVER_FINISHED) run_note_end(r);
    local_destroy(&workers);
    server_destroy(&s);
    dashboard_stop(&to.dashboard);
    listening_close(&place);
    text_free(&where);
    return result;
}

int serving_tell_stop(const run *r, server_end end)
{
    if (end == SERVER_BROKEN) {
        log_error("stopped: %s. Once that is mended the same command goes on", ledger_broken(r->ledger));
        return EXIT_BROKEN;
    }
    log_info("stopped; the same command goes on");
    return signals_seen() == SIGNAL_YIELD ? EXIT_TERMINATED : EXIT_INTERRUPTED;
}
