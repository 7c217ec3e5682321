#include "coordinator/commands/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "coordinator/commands/inner.h"
#include "coordinator/run.h"
#include "coordinator/commands/verify.h"
#include "coordinator/report/view.h"
#include "coordinator/store/owner.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- options ---- */

#define COMMON_ROWS(ROW)                                                                                               \
    ROW(command_options, run, STRING, "run", "", "", 0, 0, "DIR",                                                      \
        "the run's folder; by default runs/evolve, runs/evolve_NAME with --name")                                      \
    ROW(command_options, name, STRING, "name", "", "", 0, 0, "NAME", "of the run")                                     \
    ROW(command_options, help, FLAG, "help", "", "", 0, 0, "", "print this")
#define EXPORT_ROWS(ROW)                                                                                               \
    ROW(command_options, format, CHOICE, "format", "", "csv", 0, 0, "csv|jsonl",                                       \
        "a table with a header line, or one JSON object a line")                                                       \
    ROW(command_options, out, STRING, "out", "", "", 0, 0, "FILE", "written atomically; by default standard output")

static const option_row common_rows[] = {COMMON_ROWS(OPTION_AS_ROW)};
static const option_row export_rows[] = {EXPORT_ROWS(OPTION_AS_ROW)};
enum { SECTIONS = 2 };

/* ---- what the commands share ---- */

bool command_lock_held(const char *folder, long *pid)
{
    char words[32] = "";
    *pid = 0;
    char *path = path_join(folder, "lock");
    int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    free(path);
    if (descriptor < 0) return false;
    /* Shared, so that two that look do not see each other; gone at once, so that a coordinator can start. */
    bool held = flock(descriptor, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (held && pread(descriptor, words, sizeof words - 1, 0) > 0) *pid = strtol(words, NULL, 10);
    close(descriptor);
    return held;
}

void command_when(int64_t wall_ms, char words[COMMAND_TIME_ROOM])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    if (!localtime_r(&seconds, &parts) || !strftime(words, COMMAND_TIME_ROOM, "%Y-%m-%d %H:%M:%S", &parts))
        strcpy(words, "?");
}

status command_look(const char *folder, looking *l)
{
    *l = (looking){.folder = folder};
    char *id = NULL;
    TRY(store_open_reading(folder, &l->store));
    TRY(store_get(l->store, "run_id", &id));
    bool started = id != NULL;
    free(id);
    if (!started) return FAIL(ERR_NOT_FOUND, "%s has no run yet: its start was not finished", folder);
    TRY(spec_load(l->store, &l->spec));
    return trials_read(l->store, &l->spec.space, l->spec.fitness, &l->trials);
}

void command_look_away(looking *l)
{
    trials_free(&l->trials);
    spec_free(&l->spec);
    store_close(&l->store);
}

static status print(const text *out)
{
    if (fwrite(text_string(out), 1, out->length, stdout) == out->length && !fflush(stdout)) return OK;
    return FAIL(fs_status_of_errno(errno), "cannot write to standard output: %s", strerror(errno));
}

/* ---- the commands ---- */

static status run_status(looking *l, const command_options *o, text *out, bool *good)
{
    (void)o, (void)good;
    return command_status(l, out);
}

status command_describe(const run *r, text *out)
{
    looking l = {.folder = r->home, .store = r->store, .spec = r->spec};
    status s = trials_read(r->store, &r->spec.space, r->spec.fitness, &l.trials);
    if (s == OK) s = command_status(&l, out);
    trials_free(&l.trials);
    return s;
}

/* What the coordinator of a shared folder has written, if there is one. */
static status read_shared_status(const char *folder, text *out)
{
    struct stat about;
    char *name = owner_name(folder), *path = path_join(folder, "status"), *words = NULL, ago[VIEW_TIME_ROOM];
    size_t count;
    bool there = name && path && !stat(path, &about) && fs_read(path, 0, &words, &count) == OK;
    if (there) {
        view_time((double)(clock_wall_ms() - (int64_t)about.st_mtime * 1000) / 1000, ago);
        text_add(out, "%sas of        %s ago, by %s\n", words, ago, name);
    }
    free(words);
    free(path);
    free(name);
    return there ? text_status(out) : ERR_NOT_FOUND;
}

static status run_trials(looking *l, const command_options *o, text *out, bool *good)
{
    (void)o, (void)good;
    return command_trials(l, out);
}

static status run_best(looking *l, const command_options *o, text *out, bool *good)
{
    (void)o, (void)good;
    return command_best(l, out);
}

static status run_export(looking *l, const command_options *o, text *out, bool *good)
{
    (void)good;
    TRY(command_export(l, (export_format)o->format, out));
    if (!*o->out) return OK;
    TRY(fs_write(o->out, text_string(out), out->length));
    text_clear(out);
    return OK;
}

static status run_verify(looking *l, const command_options *o, text *out, bool *good)
{
    (void)o;
    int64_t compared, differ;
    char *lines = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&lines, &length);
    if (!to) return FAIL(ERR_MEMORY, "out of memory");
    status s = verify_run(l->store, to, &compared, &differ);
    if (fclose(to) && s == OK) s = FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) text_add_bytes(out, lines, length);
    *good = s == OK && !differ;
    free(lines);
    return s;
}

/* For the coordinator that has the store for itself. */
static status leave_wish(const char *folder, bool paused)
{
    const char *wish = paused ? "pause" : "resume";
    char *path = path_join(folder, "wish");
    status s = path ? fs_write(path, wish, strlen(wish)) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) printf("%s: its coordinator will see the wish to %s within a few seconds\n", folder, wish);
    free(path);
    return s;
}

static status set_paused(const char *folder, bool paused)
{
    store *s;
    int64_t before;
    long pid;
    status opened = store_open_control(folder, &s);
    if (opened != OK) return opened == ERR_BUSY && owner_exists(folder) ? leave_wish(folder, paused) : opened;
    status result = store_get_int(s, "paused", 0, &before);
    if (result == OK && (before != 0) != paused) {
        result = store_set_paused(s, clock_wall_ms(), paused);
        if (result == OK) result = store_commit(s);
    }
    store_close(&s);
    if (result != OK) return result;
    const char *front = (before != 0) == paused ? "already " : "", *state = paused ? "paused" : "not paused";
    if (!paused && !*front) state = "resumed";
    const char *then = !command_lock_held(folder, &pid) ? "no coordinator is at work in it now"
                       : paused                         ? "trainings under way go on, new ones do not start"
                                                        : "workers get candidates again";
    printf("%s is %s%s; %s\n", folder, front, state, then);
    return OK;
}

static status run_pause(const char *folder)
{
    return set_paused(folder, true);
}

static status run_resume(const char *folder)
{
    return set_paused(folder, false);
}

/* ---- the table ---- */

typedef struct command {
    const char *name, *about;
    status (*show)(looking *l, const command_options *o, text *out, bool *good); /* a command that reads */
    status (*act)(const char *folder);                                           /* one that writes */
    bool has_export_rows;
} command;

#define COMMANDS(ROW)                                                                                                  \
    ROW(status, "How a run stands: progress, the best so far, what is under way, whether a coordinator is at work.",   \
        run_status, NULL, false)                                                                                       \
    ROW(trials, "All candidates of a run, a line each.", run_trials, NULL, false)                                      \
    ROW(best, "The best hyperparameters as a hyp.yaml, their results and the command that trains with them.",          \
        run_best, NULL, false)                                                                                         \
    ROW(export, "All candidates of a run in full precision, for other programs.", run_export, NULL, true)              \
    ROW(verify, "Breed every candidate again from what the run knew then, and compare bit for bit.", run_verify, NULL, \
        false)                                                                                                         \
    ROW(pause, "Hand out no new candidates until `resume`; trainings under way go on.", NULL, run_pause, false)        \
    ROW(resume, "Undo `pause`.", NULL, run_resume, false)
#define AS_COMMAND(name, ...) {#name, __VA_ARGS__},
static const command commands[] = {COMMANDS(AS_COMMAND)};
const char command_names[] = "status|trials|best|export|verify|pause|resume";

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}

bool command_exists(const char *name)
{
    return find_command(name) != NULL;
}

/* Where the store is busy the sentence says whose it is. */
static status look(const char *folder, looking *l)
{
    status s = command_look(folder, l);
    char *name = s == ERR_BUSY ? owner_name(folder) : NULL;
    if (name)
        FAIL(s,
             "%s is led by %s, which has the store for itself where several machines see it: `status` works, this when "
             "that has ended",
             folder, name);
    free(name);
    return s;
}

static status show_store(const command *c, const char *folder, const command_options *o, text *out, bool *good)
{
    looking l;
    status s = look(folder, &l);
    if (s == OK) s = c->show(&l, o, out, good);
    command_look_away(&l);
    return s;
}

static status show(const command *c, const char *folder, const command_options *o, bool *good)
{
    text out = {0};
    status s = c->show == run_status ? read_shared_status(folder, &out) : ERR_NOT_FOUND;
    if (s == ERR_NOT_FOUND) s = show_store(c, folder, o, &out, good);
    if (s == OK) s = text_status(&out);
    if (s == OK) s = print(&out);
    text_free(&out);
    return s;
}

static int execute(const command *c, const command_options *o)
{
    bool good = true;
    char *folder = run_folder(o->run, o->name);
    status s = folder ? OK : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = c->show ? show(c, folder, o, &good) : c->act(folder);
    if (s != OK) log_error("%s", status_message());
    free(folder);
    return s == OK && good ? 0 : EXIT_FAILED;
}

int command_run(const char *name, int argc, char **argv)
{
    const command *c = find_command(name);
    if (!c) {
        log_error("'%s' is no command: %s", name, command_names);
        return EXIT_USAGE;
    }
    command_options o = {0};
    option_section sections[SECTIONS] = {
        {"options", common_rows, sizeof common_rows / sizeof *common_rows, &o, NULL},
        {"export", export_rows, c->has_export_rows ? sizeof export_rows / sizeof *export_rows : 0, &o, NULL},
    };
    size_t count = c->has_export_rows ? 2 : 1;
    int code = EXIT_USAGE;
    status s = options_defaults(sections, count);
    if (s == OK) s = options_parse(sections, count, argc, argv, NULL);
    if (s != OK) log_error("%s", status_message());
    else if (o.help) {
        text usage = {0};
        text_add(&usage, "coordinator %s [--run DIR]%s", c->name,
                 c->has_export_rows ? " [--format csv|jsonl] [--out FILE]" : "");
        options_help(sections, count, text_string(&usage), c->about, stdout);
        text_free(&usage);
        code = 0;
    } else code = execute(c, &o);
    options_free(sections, count);
    return code;
}
