/* coordinator: evolves hyperparameters with the help of workers. */
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/words.h"
#include "coordinator/commands.h"
#include "coordinator/dashboard/listen.h"
#include "coordinator/keys.h"
#include "coordinator/listening.h"
#include "coordinator/server.h"
#include "coordinator/view.h"

static const char usage[] =
    "coordinator --data DATA.yaml --cfg MODEL.yaml [--generations N] [--local-workers N] [options]\n"
    "       coordinator --run DIR\n"
    "       coordinator status|trials|best|verify|export|pause|resume --run DIR [options]\n"
    "       coordinator keys list|add NAME|revoke NAME --run DIR";
static const char about[] =
    "Evolve the hyperparameters of an object detector: breed candidates, hand them to workers, keep the results.\n"
    "The same command goes on where it was stopped, however it was stopped.";

enum { EXIT_USAGE = 2, EXIT_BROKEN = 3, EXIT_INTERRUPTED = 130, EXIT_TERMINATED = 143, SECTIONS = 2 };

typedef struct program {
    coordinator_options own;
    train_options train;
    bool given[COORDINATOR_ROWS], train_given[TRAIN_ROWS];
    option_section sections[SECTIONS];
} program;

/* ---- the run ---- */

static void tell_start(const run *r, const char *endpoint, const dashboard *d)
{
    ledger_counts c;
    ledger_count(r->ledger, &c);
    log_info("run %s in %s: %lld of %lld candidates evaluated; workers connect to %s", r->name, r->folder,
             (long long)c.evaluated, (long long)c.generations, endpoint);
    if (d) log_info("dashboard: %s", dashboard_url(d));
    if (d && dashboard_is_public(d))
        log_warning("the dashboard can be reached from other machines, and what it says can be read on the way");
}

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
        return FAIL(ERR_REFUSED, "--trainer: the candidates of %s are trained by Mendel's own trainer", r->folder);
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
    status s = *o->dashboard ? listen_read(o->dashboard, &address, &port) : OK;
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
    dashboard_options d = {.folder = r->folder, .listen = o->dashboard, .id = id, .name = r->name};
    d.strategy = strategy_name(r->spec.strategy);
    d.space = &r->spec.space;
    d.fitness = r->spec.fitness;
    status s = dashboard_start(&d, out);
    if (s == OK || *o->dashboard) return s;
    log_warning("there is no dashboard: %s", status_message());
    return OK;
}

static status serve(program *p, run *r, server_end *end)
{
    server_options o = {.heartbeat_ms = (int64_t)(p->own.heartbeat_s * 1000), .show = true};
    o.lease_ms = (int64_t)(p->own.lease_s * 1000);
    o.stall_ms = (int64_t)(p->own.stall_timeout_s * 1000);
    listening place = {0};
    text where = {0};
    server *s = NULL;
    local_workers *workers = NULL;
    status result = listening_open(&p->own, r, &place, &o);
    if (result == OK) result = open_dashboard(&p->own, r, &o.dashboard);
    if (result == OK) result = server_create(r, &o, &s);
    if (result == OK) result = listening_publish(&place, &p->own, r, s, clock_wall_ms(), &where);
    if (result == OK) tell_start(r, text_string(&where), o.dashboard);
    if (result == OK && p->own.local_workers && !ledger_finished(r->ledger))
        result = local_start(r->folder, o.endpoint, p->own.trainer, p->own.local_workers, &workers);
    if (result == OK) result = server_run(s, workers, end);
    local_destroy(&workers);
    server_destroy(&s);
    dashboard_stop(&o.dashboard);
    listening_close(&place);
    text_free(&where);
    return result;
}

/* What it has come to, on standard output. */
static int tell_results(const run *r)
{
    text words = {0};
    status s = view_closing(&r->spec, ledger_population(r->ledger), r->folder, &words);
    if (s == OK) s = text_status(&words);
    if (s == OK) fputs(text_string(&words), stdout);
    else log_error("%s", status_message());
    text_free(&words);
    return s == OK ? 0 : 1;
}

static int tell_end(const run *r, server_end end)
{
    switch (end) {
    case SERVER_FINISHED: return tell_results(r);
    case SERVER_BROKEN:
        log_error("stopped: %s. Once that is mended the same command goes on", ledger_broken(r->ledger));
        return EXIT_BROKEN;
    case SERVER_STOPPED: break;
    }
    log_info("stopped; the same command goes on");
    return signals_seen() == SIGNAL_YIELD ? EXIT_TERMINATED : EXIT_INTERRUPTED;
}

static int evolve(program *p)
{
    run_request request = {&p->own, p->given, &p->train, p->train_given};
    server_end end = SERVER_STOPPED;
    run r;
    zsys_init();
    zsys_handler_set(NULL); /* our own handlers */
    status s = listening_check(&p->own);
    if (s == OK) s = check_dashboard(&p->own);
    if (s == OK) s = signals_start();
    if (s == OK) s = check_trainer(&p->own);
    if (s == OK) s = run_open(&request, clock_ms(), clock_wall_ms(), &r);
    if (s != OK) {
        log_error("%s", status_message());
        return 1;
    }
    s = match_trainer(&p->own, &r);
    if (s == OK) s = serve(p, &r, &end);
    int code = 1;
    if (s == OK) code = tell_end(&r, end);
    else log_error("%s", status_message());
    run_close(&r);
    return code;
}

/* ---- the program ---- */

static int choose(program *p)
{
    if (p->own.help) options_help(p->sections, SECTIONS, usage, about, stdout);
    else if (p->own.man) options_man(p->sections, SECTIONS, "mendel-coordinator", usage, about, stdout);
    else if (p->own.version) printf("mendel-coordinator %s\n", MENDEL_VERSION);
    else return evolve(p);
    return 0;
}

int main(int argc, char **argv)
{
    program p = {0};
    p.sections[0] = coordinator_section(&p.own, p.given);
    p.sections[1] = train_section(&p.train, p.train_given);
    log_set_name("coordinator");
    if (argc > 1 && command_exists(argv[1])) return command_run(argv[1], argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "keys")) return keys_command(argc - 1, argv + 1);
    status s = options_defaults(p.sections, SECTIONS);
    if (s == OK) s = options_parse(p.sections, SECTIONS, argc, argv, NULL);
    if (s == OK) coordinator_options_complete(&p.own, p.given, &p.train);
    if (s != OK) log_error("%s", status_message());
    int code = s == OK ? choose(&p) : EXIT_USAGE;
    options_free(p.sections, SECTIONS);
    return code;
}
