/* worker: trains candidates for a coordinator, one trainer process each. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/options.h"
#include "common/shelf.h"
#include "common/signals.h"
#include "common/text.h"
#include "common/words.h"
#include "worker/client.h"
#include "worker/dealer.h"
#include "worker/external.h"
#include "worker/place.h"
#include "worker/spool.h"

static const char usage[] = "worker [--gpu 0 | --cpu N] [options]\n"
                            "       worker --trainer CMD [--gpu 0 | --cpu N] [options]";
static const char about[] = "Train candidates for a coordinator until its run is over.\n"
                            "Without options: for the only run on this machine, on the first GPU that no other worker "
                            "has, or else on all cores.\n"
                            "SIGTERM and SIGUSR1 hand what trains on to another worker.";

typedef struct worker_options {
    int64_t cpu, ranks, cores, slots, give_up, grace;
    char *gpu, *access, *coordinator, *run, *data_root, *spool, *trainer, *train;
    bool share_gpu, insecure, stay, with_parent, version, man, help;
    /* as an external trainer's process, see external.h */
    int64_t candidate, threads;
    char *device;
    bool probe;
} worker_options;

#define ROWS(ROW)                                                                                                      \
    ROW(worker_options, cpu, INT, "cpu", "", "0", 0, 4096, "N", "train on N cores")                                    \
    ROW(worker_options, ranks, INT, "ranks", "", "0", 0, 64, "N",                                                      \
        "with --cpu: split each training over N processes, as --gpu 0,1 does over two GPUs")                           \
    ROW(worker_options, gpu, STRING, "gpu", "", "", 0, 0, "0|0,1|all",                                                 \
        "train on this GPU, or each candidate on several; they count what CUDA_VISIBLE_DEVICES lists")                 \
    ROW(worker_options, slots, INT, "slots", "", "1", 1, 256, "K", "candidates at a time")                             \
    ROW(worker_options, share_gpu, FLAG, "share-gpu", "", "", 0, 0, "",                                                \
        "on GPUs that another worker of this machine has, too: without it a GPU has one worker")                       \
    ROW(worker_options, access, STRING, "access", "", "", 0, 0, "FILE",                                                \
        "where a coordinator on another machine is, and the keys to it: RUN/access there, kept to oneself (0600)")     \
    ROW(worker_options, coordinator, STRING, "coordinator", "", "", 0, 0, "ENDPOINT",                                  \
        "tcp://HOST:PORT or ipc://PATH of the coordinator; by default that of this machine")                           \
    ROW(worker_options, insecure, FLAG, "insecure", "", "", 0, 0, "", "talk over tcp without keys")                    \
    ROW(worker_options, run, STRING, "run", "", "", 0, 0, "DIR", "run folder, where this machine has several runs")    \
    ROW(worker_options, data_root, STRING, "data-root", "", "", 0, 0, "DIR",                                           \
        "where the relative paths of the run's data set start here")                                                   \
    ROW(worker_options, spool, STRING, "spool", "", "", 0, 0, "DIR",                                                   \
        "folder for results that are not delivered yet; by default ~/.local/state/mendel/spool/N")                     \
    ROW(worker_options, trainer, STRING, "trainer", "", "", 0, 0, "CMD",                                               \
        "train with this command instead of Mendel's own trainer (docs/TRAINERS.md); its words are split without a "   \
        "shell: quotes and backslashes hold them together")                                                            \
    ROW(worker_options, stay, FLAG, "stay", "", "", 0, 0, "", "wait for the next run when one is over")                \
    ROW(worker_options, give_up, INT, "give-up", "", "0", 0, 1e9, "SECONDS",                                           \
        "end after so long without a coordinator; by default a minute at first, later an hour")                        \
    ROW(worker_options, grace, INT, "grace", "", "20", 0, 86400, "SECONDS",                                            \
        "time to save what trains and hand it on, once told to go by SIGTERM or SIGUSR1")                              \
    ROW(worker_options, cores, INT, "cores", "", "0", 0, 4096, "N", "")                                                \
    ROW(worker_options, with_parent, FLAG, "with-parent", "", "", 0, 0, "", "")                                        \
    ROW(worker_options, train, STRING, "train", "", "", 0, 0, "PROGRAM", "")                                           \
    ROW(worker_options, candidate, INT, "candidate-fd", "", "-1", -1, 1e6, "N", "")                                    \
    ROW(worker_options, threads, INT, "threads", "", "0", 0, 4096, "N", "")                                            \
    ROW(worker_options, device, STRING, "device", "", "cpu", 0, 0, "DEVICE", "")                                       \
    ROW(worker_options, probe, FLAG, "probe", "", "", 0, 0, "", "")                                                    \
    ROW(worker_options, version, FLAG, "version", "", "", 0, 0, "", "print the version")                               \
    ROW(worker_options, man, FLAG, "man", "", "", 0, 0, "", "")                                                        \
    ROW(worker_options, help, FLAG, "help", "", "", 0, 0, "", "print this")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* ---- small jobs ---- */

/* Whoever started this worker takes it along, even when killed. */
static status follow_parent(void)
{
    pid_t parent = getppid();
    if (prctl(PR_SET_PDEATHSIG, SIGTERM)) return FAIL(ERR_IO, "--with-parent cannot be had on this system");
    if (getppid() != parent) raise(SIGTERM); /* it was gone before it could be followed */
    return OK;
}

/* With a command this very program speaks for it. */
static status find_own(const char *command, char **out)
{
    status s = words_check(command);
    if (s != OK) return status_context(s, "--trainer");
    *out = path_real("/proc/self/exe");
    return *out ? OK : FAIL(ERR_IO, "cannot tell which program this is");
}

/* The trainer that was installed, or built, with this program: `train` beside `worker`, `mendel-train` beside `mendel-worker`. */
static status find_trainer(const char *given, char **out)
{
    char *self = path_real("/proc/self/exe"), *folder = self ? path_folder(self) : NULL;
    bool installed = self && text_starts_with(path_name(self), "mendel-");
    if (*given) *out = text_copy(given);
    else *out = folder ? path_join(folder, installed ? "mendel-train" : "train") : NULL;
    free(self);
    free(folder);
    if (!*out) return FAIL(ERR_MEMORY, "out of memory");
    if (!fs_is_file(*out)) return FAIL(ERR_NOT_FOUND, "the trainer %s is not there", *out);
    if (access(*out, X_OK)) return FAIL(ERR_REFUSED, "the trainer %s is no program", *out);
    char *whole = path_real(*out);
    if (!whole) return FAIL(ERR_MEMORY, "out of memory");
    free(*out);
    *out = whole;
    return OK;
}

static status check_endpoint(const worker_options *o)
{
    const char *at = o->coordinator;
    bool tcp = text_starts_with(at, "tcp://");
    if (!*at) return OK;
    if (!tcp && !text_starts_with(at, "ipc://"))
        return FAIL(ERR_ARGUMENT, "--coordinator: tcp://HOST:PORT or ipc://PATH was expected, found '%s'", at);
    if (*o->run) return FAIL(ERR_ARGUMENT, "--run and --coordinator: one of them says where to go");
    if (tcp && !o->insecure && !*o->access)
        return FAIL(ERR_REFUSED, "--coordinator: tcp:// without keys is refused unless --insecure is given; --access "
                                 "FILE brings keys");
    if (!tcp && *o->access) return FAIL(ERR_ARGUMENT, "--access: only tcp:// addresses have keys, not '%s'", at);
    return OK;
}

/* Keys, as soon as they are in memory, are nothing for core files. */
static status read_access(const worker_options *o, access_file *out)
{
    *out = (access_file){0};
    if (!*o->access) return OK;
    if (o->insecure) return FAIL(ERR_ARGUMENT, "--access and --insecure: with keys or without, not both");
    if (*o->run) return FAIL(ERR_ARGUMENT, "--run and --access: one of them says where to go");
    access_guard_process();
    status s = access_read(o->access, out);
    if (s == OK) s = dealer_check_keys(out, o->access);
    if (s != OK) status_context(s, "--access");
    return s;
}

static status find_data_root(const char *given, char **out)
{
    *out = *given ? path_real(given) : NULL;
    if (*given && (!*out || !fs_is_folder(*out))) return FAIL(ERR_NOT_FOUND, "--data-root: no folder %s", given);
    return OK;
}

/* ---- the work ---- */

static const char *or_null(const char *value)
{
    return *value ? value : NULL;
}

static void say_place(const client_place *place, const spool *s)
{
    bool named = text_starts_with(place->about.model, place->name); /* "cpu Intel ..." */
    log_info("%s%s%s, %lld slot%s of %lld thread%s, spool %s", named ? "" : place->name, named ? "" : ": ",
             place->about.model, (long long)place->slots, place->slots == 1 ? "" : "s", (long long)place->threads,
             place->threads == 1 ? "" : "s", spool_folder(s));
}

static status as_trainer(const worker_options *o)
{
    external_options e = {o->trainer, o->device, o->threads};
    if (o->probe) return external_probe(&e);
    if (!*o->trainer) return FAIL(ERR_ARGUMENT, "--trainer CMD is missing");
    return external_run((int)o->candidate, &e);
}

static status work(const worker_options *o, const char *trainer, const char *data_root, access_file *access)
{
    client_place place;
    spool *s;
    client_options options = {.program = trainer,
                              .command = or_null(o->trainer),
                              .endpoint = or_null(o->coordinator),
                              .access = *o->access ? access : NULL,
                              .access_path = o->access,
                              .run_folder = or_null(o->run),
                              .data_root = data_root,
                              .yield_ms = o->grace * 1000,
                              .stay = o->stay,
                              .give_up_ms = o->give_up * 1000};
    place_wishes wishes = {o->gpu, o->cpu, o->cores, o->slots, o->ranks, o->share_gpu};
    TRY(place_choose(trainer, &wishes, &place));
    status result = spool_open(or_null(o->spool), &s);
    if (result == OK) {
        shelf *pictures; /* what a candidate has decoded stays there for the next one */
        if (shelf_hold(NULL, &pictures) != OK) log_debug("%s", status_message());
        say_place(&place, s);
        result = client_run(&options, &place, s);
        shelf_let_go(&pictures);
        spool_close(&s);
    }
    place_free(&place);
    return result;
}

static status run(const worker_options *o)
{
    char *trainer = NULL, *data_root = NULL;
    access_file access = {0};
    log_set_name("worker");
    status s = signals_start();
    if (s == OK && o->with_parent) s = follow_parent();
    if (s == OK) s = check_endpoint(o);
    if (s == OK) s = read_access(o, &access);
    if (s == OK) s = find_data_root(o->data_root, &data_root);
    if (s == OK) s = *o->trainer ? find_own(o->trainer, &trainer) : find_trainer(o->train, &trainer);
    if (s == OK) s = work(o, trainer, data_root, &access);
    access_free(&access);
    free(trainer);
    free(data_root);
    return s;
}

static status choose(const worker_options *o, const option_section *sections)
{
    if (o->help) options_help(sections, 1, usage, about, stdout);
    else if (o->man) options_man(sections, 1, "mendel-worker", usage, about, stdout);
    else if (o->version) printf("mendel-worker %s\n", MENDEL_VERSION);
    else if (o->probe || o->candidate >= 0) return as_trainer(o);
    else return run(o);
    return OK;
}

int main(int argc, char **argv)
{
    worker_options o = {0};
    option_section section = {"options", rows, sizeof rows / sizeof *rows, &o, NULL};
    status s = options_defaults(&section, 1);
    bool bad_usage = false;
    if (s == OK) {
        s = options_parse(&section, 1, argc, argv, NULL);
        bad_usage = s != OK;
    }
    if (s == OK) s = choose(&o, &section);
    if (s != OK && s != ERR_STOPPED) log_error("%s", status_message());
    options_free(&section, 1);
    return s == OK ? 0 : bad_usage ? EXIT_USAGE : s == ERR_STOPPED ? EXIT_INTERRUPTED : 1;
}
