#include "coordinator/commands/confirm.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/signals.h"
#include "coordinator/commands/commands.h"
#include "coordinator/commands/inner.h"
#include "coordinator/server/serving.h"

static const char usage[] = "coordinator confirm [--run DIR] [--top K] [--seeds R] [--local-workers N] [options]";
static const char about[] =
    "Train the best rows of a run and its start again, with other seeds, and tell a gain from luck.\n"
    "On a run that no coordinator is at work in, finished or not; the same command goes on.";

enum { EXIT_USAGE = 2, SECTIONS = 2, SERVING_MOST = 16 };

typedef struct confirm_options {
    char *name;
    int64_t top, seeds;
} confirm_options;

#define ROWS(ROW)                                                                                                      \
    ROW(confirm_options, name, STRING, "name", "", "", 0, 0, "NAME", "of the run")                                     \
    ROW(confirm_options, top, INT, "top", "", "3", 1, CONFIRM_TOP_MOST, "K", "of the best rows, beside the start")     \
    ROW(confirm_options, seeds, INT, "seeds", "", "3", 1, CONFIRM_SEEDS_MOST, "R", "that each is trained with")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

/* What `coordinator` takes for serving a run; what the run is, its store says. */
static size_t serving_rows(option_row list[SERVING_MOST])
{
    static const char *const names[] = {"run",           "trainer",   "local-workers", "bind",      "advertise",
                                        "insecure",      "max-lost",  "max-failures",  "heartbeat", "lease",
                                        "stall-timeout", "dashboard", "no-dashboard",  "help"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        list[count++] = *options_find(coordinator_rows, COORDINATOR_ROWS, names[i]);
    return count;
}

/* What it has come to, on standard output; with what is there, too, when it was cut short. */
static status tell_table(const char *folder)
{
    looking l;
    confirm_table table = {0};
    text words = {0};
    status s = command_look(folder, &l);
    if (s == OK) s = confirm_read(folder, &l.spec, &l.trials, &table);
    const member *lucky = s == OK ? trials_best(&l.trials) : NULL;
    if (s == OK) s = confirm_write_best(folder, &l.spec, &table);
    if (s == OK) s = confirm_words(&table, lucky ? lucky->candidate : 0, "", &words);
    if (s == OK && confirm_best(&table)) text_add(&words, "its hyperparameters: %s/hyp_confirmed.yaml\n", folder);
    if (s == OK) s = text_status(&words);
    if (s == OK) fputs(text_string(&words), stdout);
    text_free(&words);
    confirm_free(&table);
    command_look_away(&l);
    return s;
}

static int confirm(const confirm_options *own, const coordinator_options *o)
{
    server_end end = SERVER_STOPPED;
    run r;
    int code = 0;
    zsys_init();
    zsys_handler_set(NULL); /* our own handlers */
    char *folder = run_folder(o->run, own->name);
    status s = folder ? serving_check(o) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = signals_start();
    if (s == OK) s = confirm_open(folder, o, own->top, own->seeds, clock_ms(), clock_wall_ms(), &r);
    if (s == OK) {
        s = serving_run(o, &r, command_describe, &end);
        if (s == OK && end != SERVER_FINISHED) code = serving_tell_stop(&r, end);
        run_close(&r);
    }
    if (s == OK) s = tell_table(folder);
    if (s != OK) log_error("%s", status_message());
    free(folder);
    return s == OK ? code : 1;
}

int confirm_command(int argc, char **argv)
{
    confirm_options own = {0};
    coordinator_options o = {0};
    option_row serving[SERVING_MOST];
    /* All of the coordinator's options have their defaults; those that serve can be said. */
    option_section whole = coordinator_section(&o, NULL);
    option_section sections[SECTIONS] = {{"confirming", rows, sizeof rows / sizeof *rows, &own, NULL},
                                         {"serving", serving, serving_rows(serving), &o, NULL}};
    int code = EXIT_USAGE;
    status s = options_defaults(&whole, 1);
    if (s == OK) s = options_defaults(sections, 1);
    if (s == OK) s = options_parse(sections, SECTIONS, argc, argv, NULL);
    if (s != OK) log_error("%s", status_message());
    else if (o.help) {
        options_help(sections, SECTIONS, usage, about, stdout);
        code = 0;
    } else code = confirm(&own, &o);
    options_free(sections, 1);
    options_free(&whole, 1);
    return code;
}
