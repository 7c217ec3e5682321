#include "coordinator/options.h"

#include "coordinator/evolve/pruning.h"

#define ROWS(ROW)                                                                                                      \
    ROW(coordinator_options, run, STRING, "run", "", "", 0, 0, "DIR",                                                  \
        "the run's folder; by default runs/evolve, runs/evolve_NAME with --name")                                      \
    ROW(coordinator_options, shared_folder, FLAG, "shared-folder", "", "", 0, 0, "",                                   \
        "the run's folder is on a file system of several machines (NFS, Lustre and others are recognised)")            \
    ROW(coordinator_options, generations, INT, "generations", "", "300", 1, 1e9, "N", "candidates to evaluate")        \
    ROW(coordinator_options, import, STRING, "import", "", "", 0, 0, "FILE",                                           \
        "an evolve.txt whose rows are a start: they breed, and do not count")                                          \
    ROW(coordinator_options, strategy, CHOICE, "strategy", "", "mendel", 0, 0, "mendel|yolov5|yolov5-as-run|random",   \
        "how children are made (docs/DIFFERENCES.md)")                                                                 \
    ROW(coordinator_options, parent, CHOICE, "parent", "", "single", 0, 0, "single|weighted",                          \
        "one of the best rows, drawn by weight, or their weighted mean")                                               \
    ROW(coordinator_options, probability, DOUBLE, "mutation", "", "0.9", 0, 1, "P",                                    \
        "probability that a hyperparameter mutates")                                                                   \
    ROW(coordinator_options, sigma, DOUBLE, "sigma", "", "0.2", 0, 10, "S", "size of mutations")                       \
    ROW(coordinator_options, run_seed, INT, "run-seed", "", "0", 0, 9007199254740992.0, "N",                           \
        "of breeding; --seed is that of every training")                                                               \
    ROW(coordinator_options, meta, STRING, "meta", "", "", 0, 0, "FILE",                                               \
        "another search space: a yaml with 'key: [gain, low, high]' lines")                                            \
    ROW(coordinator_options, fitness, STRING, "fitness", "", "0 0 0.1 0.9", 0, 0, "\"P R AP50 AP\"",                   \
        "weights of P, R, mAP@.5 and mAP@.5:.95 in the fitness")                                                       \
    ROW(coordinator_options, prune, CHOICE, "prune", "", "none", 0, 0, PRUNE_NAMES,                                    \
        "stop candidates early that fall behind: median, behind half of those that were as far; they validate every "  \
        "--test-every epochs, by default ten times")                                                                   \
    ROW(coordinator_options, prune_warmup, DOUBLE, "prune-warmup", "", "0.25", 0, 1, "FRACTION",                       \
        "of the training that every candidate gets")                                                                   \
    ROW(coordinator_options, prune_least, INT, "prune-least", "", "5", 1, 1e6, "N",                                    \
        "candidates to compare with before one is stopped")                                                            \
    ROW(coordinator_options, external, FLAG, "external", "", "", 0, 0, "",                                             \
        "workers bring a trainer of their own (worker --trainer): any hyperparameters, --data and --cfg are optional") \
    ROW(coordinator_options, trainer, STRING, "trainer", "", "", 0, 0, "CMD",                                          \
        "--external, and the command that the workers which are started here train with (docs/TRAINERS.md)")           \
    ROW(coordinator_options, local_workers, INT, "local-workers", "", "0", 0, 256, "N",                                \
        "start this many workers on this machine")                                                                     \
    ROW(coordinator_options, bind, STRING, "bind", "", "", 0, 0, "ENDPOINT",                                           \
        "tcp://ADDRESS:PORT for workers on other machines, with keys; by default a socket of this machine")            \
    ROW(coordinator_options, advertise, STRING, "advertise", "", "", 0, 0, "ADDRESS,...",                              \
        "HOST or HOST:PORT by which workers find that port, for their access files; by default what this machine has") \
    ROW(coordinator_options, insecure, FLAG, "insecure", "", "", 0, 0, "", "let anyone in who reaches the TCP port")   \
    ROW(coordinator_options, max_lost, INT, "max-lost", "", "5", 0, 1000, "N",                                         \
        "leases that a candidate may lose before it has failed")                                                       \
    ROW(coordinator_options, max_failures, INT, "max-failures", "", "10", 0, 1e6, "N",                                 \
        "failed candidates before the run stops")                                                                      \
    ROW(coordinator_options, heartbeat_s, DOUBLE, "heartbeat", "", "5", 0.05, 3600, "SECONDS",                         \
        "between two signs of life of a worker")                                                                       \
    ROW(coordinator_options, lease_s, DOUBLE, "lease", "", "30", 0.2, 86400, "SECONDS",                                \
        "silence after which a worker's candidate is given to another")                                                \
    ROW(coordinator_options, stall_timeout_s, DOUBLE, "stall-timeout", "", "600", 1, 1e7, "SECONDS",                   \
        "a training without progress for this long is killed")                                                         \
    ROW(coordinator_options, keep, CHOICE, "keep", "", "none", 0, 0, "none|best|all",                                  \
        "trained weights that are kept in RUN/weights: candidate_N.pt, and best.pt for the best so far")               \
    ROW(coordinator_options, dashboard, STRING, "dashboard", "", "", 0, 0, "[ADDRESS:]PORT",                           \
        "where browsers see how the run stands; by default a free port, for this machine alone")                       \
    ROW(coordinator_options, no_dashboard, FLAG, "no-dashboard", "", "", 0, 0, "", "none")                             \
    ROW(coordinator_options, version, FLAG, "version", "", "", 0, 0, "", "print the version")                          \
    ROW(coordinator_options, man, FLAG, "man", "", "", 0, 0, "", "")                                                   \
    ROW(coordinator_options, help, FLAG, "help", "", "", 0, 0, "", "print this")

const option_row coordinator_rows[] = {ROWS(OPTION_AS_ROW)};
#define ONE_ROW(...) +1
_Static_assert(0 ROWS(ONE_ROW) == COORDINATOR_ROWS, "COORDINATOR_ROWS counts the table above");

static bool was_given(const bool *given, const char *name)
{
    return given[options_find(coordinator_rows, COORDINATOR_ROWS, name) - coordinator_rows];
}

void coordinator_options_complete(coordinator_options *o, const bool *given, const train_options *train)
{
    enum { GENERATIONS_2020_07_20 = 10 };
    if (train->reference == REFERENCE_2020_07_20 && !was_given(given, "generations"))
        o->generations = GENERATIONS_2020_07_20;
    if (train->as_reference && !was_given(given, "strategy")) o->strategy = STRATEGY_YOLOV5;
}

option_section coordinator_section(coordinator_options *o, bool *given)
{
    return (option_section){"evolution", coordinator_rows, COORDINATOR_ROWS, o, given};
}
