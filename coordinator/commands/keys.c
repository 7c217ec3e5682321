/* keys.c - `coordinator keys`: who may work for a run, looked at and changed while its coordinator runs, or when it does not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/options.h"
#include "coordinator/server/keys.h"
#include "coordinator/run.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct keys_options {
    char *run, *name, *out;
    bool help;
} keys_options;

#define ROWS(ROW)                                                                                                      \
    ROW(keys_options, out, STRING, "out", "", "", 0, 0, "FILE", "of add: the access file; by default RUN/access-NAME") \
    ROW(keys_options, run, STRING, "run", "", "", 0, 0, "DIR",                                                         \
        "the run's folder; by default runs/evolve, runs/evolve_NAME with --name")                                      \
    ROW(keys_options, name, STRING, "name", "", "", 0, 0, "NAME", "of the run")                                        \
    ROW(keys_options, help, FLAG, "help", "", "", 0, 0, "", "print this")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static const char usage[] = "coordinator keys list | add NAME [--out FILE] | revoke NAME [--run DIR]";
static const char about[] =
    "Who may work for a run from other machines.\n"
    "  list         the keys that are let in\n"
    "  add NAME     let one more in: writes its access file, for `worker --access FILE`\n"
    "  revoke NAME  let it in no more: a running coordinator refuses it from its next message on";

/* ---- the actions ---- */

static status add(const char *folder, const char *name, const char *out)
{
    text path = {0};
    if (*out) text_add(&path, "%s", out);
    else text_add(&path, "%s/access-%s", folder, name);
    status s = text_status(&path);
    if (s == OK) s = keys_add(folder, name, path.bytes, clock_wall_ms());
    if (s == OK) printf("%s lets '%s' in; keep it to yourself: worker --access %s\n", path.bytes, name, path.bytes);
    text_free(&path);
    return s;
}

static status take_off(const char *folder, const char *name)
{
    TRY(keys_revoke(folder, name));
    printf("'%s' is let in no more\n", name);
    return OK;
}

static status list(const char *folder)
{
    worker_keys k;
    TRY(keys_list(folder, &k));
    for (size_t i = 0; i < k.count; i++) {
        time_t seconds = (time_t)(k.items[i].added_ms / 1000);
        struct tm parts;
        char when[32] = "?";
        if (localtime_r(&seconds, &parts)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &parts);
        printf("%-20s %s  added %s\n", k.items[i].name, k.items[i].public_key, when);
    }
    if (!k.count) printf("nobody is let in\n");
    worker_keys_free(&k);
    return OK;
}

/* ---- the command ---- */

static int execute(const keys_options *o, const fs_names *words)
{
    const char *action = words->count ? words->names[0] : "";
    bool lists = !strcmp(action, "list"), adds = !strcmp(action, "add"), revokes = !strcmp(action, "revoke");
    if (!(lists && words->count == 1) && !((adds || revokes) && words->count == 2)) {
        log_error("%s", usage);
        return EXIT_USAGE;
    }
    char *folder = run_folder(o->run, o->name);
    status s = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && lists) s = list(folder);
    else if (s == OK && adds) s = add(folder, words->names[1], o->out);
    else if (s == OK) s = take_off(folder, words->names[1]);
    if (s != OK) log_error("%s", status_message());
    free(folder);
    return s == OK ? 0 : EXIT_FAILED;
}

int keys_command(int argc, char **argv)
{
    keys_options o = {0};
    option_section section = {"options", rows, sizeof rows / sizeof *rows, &o, NULL};
    fs_names words = {0};
    int code = EXIT_USAGE;
    status s = options_defaults(&section, 1);
    if (s == OK) s = options_parse(&section, 1, argc, argv, &words);
    if (s != OK) log_error("%s", status_message());
    else if (o.help) {
        options_help(&section, 1, usage, about, stdout);
        code = 0;
    } else code = execute(&o, &words);
    options_free(&section, 1);
    fs_names_free(&words);
    return code;
}
