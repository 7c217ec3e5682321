/* coordinator: evolves hyperparameters with the help of workers. */
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/signals.h"
#include "coordinator/commands/commands.h"
#include "coordinator/commands/confirm.h"
#include "coordinator/server/keys.h"
#include "coordinator/server/serving.h"
#include "coordinator/report/view.h"

static const char usage[] =
    "coordinator --data DATA.yaml --cfg MODEL.yaml [--generations N] [--local-workers N] [options]\n"
    "       coordinator --run DIR\n"
    "       coordinator status|trials|best|verify|export|pause|resume --run DIR [options]\n"
    "       coordinator confirm --run DIR [--top K] [--seeds R] [--local-workers N] [options]\n"
    "       coordinator keys list|add NAME|revoke NAME --run DIR";
static const char about[] =
    "Evolve the hyperparameters of an object detector: breed candidates, hand them to workers, keep the results.\n"
    "The same command goes on where it was stopped, however it was stopped.";

enum { EXIT_USAGE = 2, SECTIONS = 2 };

typedef struct program {
    coordinator_options own;
    train_options train;
    bool given[COORDINATOR_ROWS], train_given[TRAIN_ROWS];
    option_section sections[SECTIONS];
} program;

/* ---- the run ---- */

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

static int evolve(program *p)
{
    run_request request = {&p->own, p->given, &p->train, p->train_given};
    server_end end = SERVER_STOPPED;
    run r;
    zsys_init();
    zsys_handler_set(NULL); /* our own handlers */
    status s = serving_check(&p->own);
    if (s == OK) s = signals_start();
    if (s == OK) s = run_open(&request, clock_ms(), clock_wall_ms(), &r);
    if (s != OK) {
        log_error("%s", status_message());
        return 1;
    }
    s = serving_run(&p->own, &r, command_describe, &end);
    int code = 1;
    if (s != OK) log_error("%s", status_message());
    else code = end == SERVER_FINISHED ? tell_results(&r) : serving_tell_stop(&r, end);
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
    if (argc > 1 && !strcmp(argv[1], "confirm")) return confirm_command(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "keys")) return keys_command(argc - 1, argv + 1);
    status s = options_defaults(p.sections, SECTIONS);
    if (s == OK) s = options_parse(p.sections, SECTIONS, argc, argv, NULL);
    if (s == OK) coordinator_options_complete(&p.own, p.given, &p.train);
    if (s != OK) log_error("%s", status_message());
    int code = s == OK ? choose(&p) : EXIT_USAGE;
    options_free(p.sections, SECTIONS);
    return code;
}
