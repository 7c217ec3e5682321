/* train: one complete training of a YOLOv5-style detector. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/signals.h"
#include "common/text.h"
#include "worker/train/candidate.h"
#include "worker/train/devices.h"
#include "worker/train/evaluate.h"
#include "worker/train/evolve.h"
#include "worker/train/export.h"
#include "worker/train/obtain.h"
#include "worker/train/resume.h"
#include "worker/train/run_folder.h"
#include "worker/train/terminal.h"
#include "worker/train/training.h"

static const char usage[] = "train --data DATA.yaml --cfg MODEL.yaml [options]\n"
                            "       train --data DATA.yaml --weights FILE.pt [options]\n"
                            "       train --resume [LAST.pt]\n"
                            "       train --evolve [N] --data DATA.yaml --cfg MODEL.yaml [options]\n"
                            "       train --task val --data DATA.yaml --weights FILE.pt\n"
                            "       train --task export --weights FILE.pt";
static const char about[] =
    "Train a YOLOv5-style object detector, or go on with a training, or evaluate one, or export it to ONNX.\n"
    "Results go to runs/expN: weights/last.pt, weights/best.pt, results.txt, hyp.yaml, opt.yaml, plots, pictures and "
    "events for TensorBoard.";

typedef struct program_options {
    int task;
    double min_score, max_iou;
    int_list classes;
    char *save_dir;
    bool decode, json;
    bool verbose, merge, agnostic, scripts, probe, version, help, man;
    char *weights_url, *evolve, *local_rank;
    int64_t candidate;
} program_options;

typedef enum task { TASK_TRAIN, TASK_VAL, TASK_TEST, TASK_EXPORT } task;

#define ROWS(ROW)                                                                                                      \
    ROW(program_options, task, CHOICE, "task", "", "train", 0, 0, "train|val|test|export",                             \
        "train, evaluate --weights on a split, or export them to ONNX")                                                \
    ROW(program_options, min_score, DOUBLE, "conf-thres", "", "0.001", 0, 1, "SCORE",                                  \
        "evaluation: lowest score of a box")                                                                           \
    ROW(program_options, max_iou, DOUBLE, "iou-thres", "", "0.65", 0, 1, "IOU",                                        \
        "evaluation: overlap above which boxes suppress each other")                                                   \
    ROW(program_options, verbose, FLAG, "verbose", "", "", 0, 0, "", "evaluation: a line for each class")              \
    ROW(program_options, merge, FLAG, "merge", "", "", 0, 0, "", "evaluation: average boxes that overlap")             \
    ROW(program_options, agnostic, FLAG, "agnostic-nms", "", "", 0, 0, "",                                             \
        "evaluation: boxes of different classes suppress each other")                                                  \
    ROW(program_options, classes, INTS, "classes", "", "-1", -1, 1e5, "CLASS...", "evaluation: boxes of these only")   \
    ROW(program_options, save_dir, STRING, "save-dir", "", "runs/test", 0, 0, "FOLDER",                                \
        "evaluation: where pictures and detections go")                                                                \
    ROW(program_options, json, FLAG, "save-json", "", "", 0, 0, "", "evaluation: detections in COCO's result format")  \
    ROW(program_options, decode, FLAG, "decode", "", "", 0, 0, "", "export: boxes as the output instead of raw heads") \
    ROW(program_options, evolve, MAYBE, "evolve", "", "false", 0, 0, "N",                                              \
        "evolve the hyperparameters: start the coordinator with these options, for N candidates, and a local worker")  \
    ROW(program_options, weights_url, STRING, "weights-url", "", "", 0, 0, "URL",                                      \
        "mirror that missing official weights come from; by default MENDEL_WEIGHTS_URL, else their release")           \
    ROW(program_options, scripts, FLAG, "allow-download-script", "", "", 0, 0, "",                                     \
        "run the script that a data yaml gives under 'download' when its pictures are missing")                        \
    ROW(program_options, probe, FLAG, "probe", "", "", 0, 0, "", "print the device and what it can do, and leave")     \
    ROW(program_options, local_rank, STRING, "local-rank", "", "", 0, 0, "N", "")                                      \
    ROW(program_options, candidate, INT, "candidate-fd", "", "-1", -1, 1e6, "N", "")                                   \
    ROW(program_options, version, FLAG, "version", "", "", 0, 0, "", "print the version")                              \
    ROW(program_options, man, FLAG, "man", "", "", 0, 0, "", "")                                                       \
    ROW(program_options, help, FLAG, "help", "", "", 0, 0, "", "print this")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

typedef struct program {
    train_options train;
    program_options own;
    bool given[TRAIN_ROWS];
    option_section sections[2];
} program;

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* ---- small jobs ---- */

static status print_probe(const train_options *o)
{
    const backend_ops *ops;
    device *d;
    device_info info = {0};
    int count;
    TRY(devices_count(o->device, &count));
    for (int place = count - 1; place > 0; place--) {
        TRY(devices_open(o->device, place, count, o->threads, &ops, &d));
        ops->close(&d);
    }
    TRY(devices_open(o->device, 0, 1, o->threads, &ops, &d));
    ops->info(d, &info);
    devices_describe(count, &info);
    printf("device=%s precision=%s threads=%d memory=%lld supports=", info.name, precision_name(info.best),
           info.threads, (long long)info.memory);
    for (int p = 0, first = 1; p < PRECISION_COUNT; p++)
        if (info.supports[p]) {
            printf(first ? "%s" : ",%s", precision_name((precision)p));
            first = 0;
        }
    printf(*info.id ? " id=%s\n" : "\n", info.id);
    ops->close(&d);
    return OK;
}

/* Options made complete, files found or downloaded, the data yaml read. */
static status find_everything(program *p, data_yaml *data)
{
    const char *url = *p->own.weights_url ? p->own.weights_url : obtain_weights_url();
    TRY(train_options_complete(&p->train, p->given));
    TRY(obtain_weights(p->train.weights, url));
    TRY(train_options_find_files(&p->train));
    TRY(obtain_data(p->train.data, p->own.scripts));
    return data_yaml_read(p->train.data, data);
}

static status evaluate_task(program *p)
{
    data_yaml data;
    TRY(find_everything(p, &data));
    evaluate_options o = {.train = &p->train, .data = &data, .min_score = p->own.min_score, .max_iou = p->own.max_iou};
    o.split = p->own.task == TASK_TEST ? DATA_TEST : DATA_VAL;
    o.merge = p->own.merge;
    o.agnostic = p->own.agnostic;
    if (p->own.classes.values[0] >= 0) o.classes = p->own.classes;
    o.verbose = p->own.verbose;
    o.folder = p->own.save_dir;
    o.json = p->own.json;
    status s = evaluate_run(&o);
    data_yaml_free(&data);
    return s;
}

/* Neither data nor hyperparameters are looked for. */
static status export_task(program *p)
{
    static const char *const unused[] = {"data", "hyp"};
    const char *url = *p->own.weights_url ? p->own.weights_url : obtain_weights_url();
    TRY(train_options_complete(&p->train, p->given));
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        TRY(options_set(options_find(train_rows, TRAIN_ROWS, unused[i]), &p->train, "", unused[i]));
    TRY(obtain_weights(p->train.weights, url));
    TRY(train_options_find_files(&p->train));
    return export_run(&(export_options){.train = &p->train, .decode = p->own.decode});
}

/* ---- training ---- */

/* opt.yaml as the reference's own --resume reads it: with the options that it has besides, and a file of hyperparameters. */
static void write_options(const train_options *o, char *hyp_path, text *out)
{
    static const char *const others[][2] = {{"evolve", "false"},  {"bucket", "''"},    {"sync_bn", "false"},
                                            {"local_rank", "-1"}, {"world_size", "1"}, {"global_rank", "-1"}};
    train_options shown = *o;
    if (!*shown.hyp) shown.hyp = hyp_path;
    options_write_yaml(train_rows, TRAIN_ROWS, &shown, out);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!options_find(train_rows, TRAIN_ROWS, others[i][0])) text_add(out, "%s: %s\n", others[i][0], others[i][1]);
    text_add(out, "total_batch_size: %lld\n", (long long)o->batch_size);
}

/* hyp.yaml and opt.yaml: what this training was. */
static status write_settings(const char *folder, const train_options *o, const double *hyps)
{
    text hyp = {0}, opt = {0};
    char *hyp_path = path_join(folder, "hyp.yaml"), *opt_path = path_join(folder, "opt.yaml");
    train_options_write_hyps(o, hyps, &hyp);
    if (hyp_path) write_options(o, hyp_path, &opt);
    status s = hyp_path && opt_path ? text_status(&hyp) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = text_status(&opt);
    if (s == OK) s = fs_write(hyp_path, hyp.bytes, hyp.length);
    if (s == OK) s = fs_write(opt_path, opt.bytes, opt.length);
    text_free(&hyp);
    text_free(&opt);
    free(hyp_path);
    free(opt_path);
    return s;
}

static void log_settings(const train_options *o, const double *hyps)
{
    hyp_space space;
    text words = {0};
    hyp_space_default(&space); /* what a version has built in is said, too */
    for (size_t i = 0; i < space.count; i++) text_add(&words, "%s%s=%g", i ? ", " : "", space.rows[i].key, hyps[i]);
    log_info("Hyperparameters: %s", text_string(&words));
    text_clear(&words);
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        text_add(&words, "%s%s=", i ? ", " : "", train_rows[i].name);
        options_get(&train_rows[i], o, &words);
    }
    log_info("Options: %s", text_string(&words));
    text_free(&words);
}

/* At its end a training waits so long for a bucket that is away. */
static const int64_t share_patience_ms = 60000;

typedef struct job {
    train_options *o;
    char *folder, *checkpoint, *model_yaml;
    share *share;
    data_yaml data;
    double hyps[HYP_COUNT];
    bool resume;
    int devices;
    ranks *ranks; /* of a launcher, or forked; NULL: this process alone */
} job;

/* A resumed training takes its options and hyps from its folder. */
static status prepare_resume(job *j)
{
    TRY(resume_find(j->o->resume, &j->checkpoint, &j->folder));
    TRY(resume_options(j->folder, j->checkpoint, j->o));
    char *hyp = path_join(j->folder, "hyp.yaml");
    status s = hyp ? options_set(options_find(train_rows, TRAIN_ROWS, "hyp"), j->o, hyp, "--resume")
                   : FAIL(ERR_MEMORY, "out of memory");
    free(hyp);
    j->resume = true;
    log_info("Resuming training from %s", j->checkpoint);
    return s;
}

static status prepare(job *j, program *p)
{
    if (*j->o->resume) TRY(prepare_resume(j));
    TRY(ranks_wait_for_first(j->ranks)); /* it downloads what is missing */
    TRY(find_everything(p, &j->data));
    TRY(ranks_first_is_ready(j->ranks));
    TRY(devices_count(j->o->device, &j->devices));
    TRY(train_options_hyps(j->o, j->hyps));
    if (*j->o->cfg) {
        size_t length;
        TRY(fs_read(j->o->cfg, 1 << 20, &j->model_yaml, &length));
    }
    if (ranks_number(j->ranks)) return OK;
    if (!j->resume && j->o->exist_ok) TRY(run_folder_take(j->o->logdir, j->o->name, &j->folder));
    else if (!j->resume) TRY(run_folder_make(j->o->logdir, j->o->name, &j->folder));
    log_settings(j->o, j->hyps);
    return j->resume ? OK : write_settings(j->folder, j->o, j->hyps);
}

/* What could not even start leaves nothing behind; the sentence that says why stays. */
static void drop_folder(const char *folder, status cause)
{
    char *why = text_copy(status_message());
    if (fs_remove(folder) != OK) log_warning("%s", status_message());
    if (why) FAIL(cause, "%s", why);
    free(why);
}

static status run_job(job *j)
{
    terminal screen;
    training_watch watch = terminal_watch(&screen, j->share);
    training_result result;
    training_request request = {
        .options = j->o,
        .hyps = j->hyps,
        .data = &j->data,
        .model_name = j->o->cfg,
        .model_yaml = j->model_yaml,
        .folder = j->folder,
        .resume = j->resume,
        .ranks = j->ranks,
    };
    log_info("Results go to %s", j->folder);
    if (j->o->tensorboard != TRAIN_KEEP_NEVER)
        log_info("Start TensorBoard with \"tensorboard --logdir %s\", view at http://localhost:6006/", j->o->logdir);
    status s = training_run(&request, &watch, &result, NULL);
    if (ranks_number(j->ranks)) return s;
    if (s != OK && !result.begun && !j->resume && !j->o->exist_ok) drop_folder(j->folder, s);
    if (s == ERR_STOPPED)
        log_info("Stopped%s%s%s", j->o->nosave ? "" : ". Go on with: train --resume ", j->o->nosave ? "" : j->folder,
                 j->o->nosave ? "" : "/weights/last.pt");
    if (s == OK)
        log_info("%lld epochs completed in %.3f hours. Best fitness %.4g; weights in %s/weights",
                 (long long)result.epochs, result.seconds / 3600, result.best_fitness, j->folder);
    return s;
}

static status train_task(program *p)
{
    job j = {.o = &p->train};
    TRY(signals_start());
    if (*p->own.local_rank) setenv("LOCAL_RANK", p->own.local_rank, 0); /* as older launchers say it */
    /* What cannot be is said before anything is made; a resumed training has its bucket from its folder. */
    status s = *j.o->bucket ? remote_check(j.o->bucket) : OK;
    if (s != OK) return status_context(s, "--bucket");
    s = ranks_launched(&j.ranks);
    if (s == OK) s = prepare(&j, p);
    if (s == OK && !j.ranks) s = ranks_fork(j.devices, -1, &j.ranks); /* unless a launcher has started them */
    if (s == OK && !ranks_number(j.ranks)) s = share_create(j.o->bucket, j.o->name, j.folder, &j.share);
    if (s == OK) s = run_job(&j);
    ranks_end(&j.ranks, s); /* others than rank 0 end here */
    if (s == OK) share_finish(j.share, share_patience_ms);
    share_destroy(&j.share);
    data_yaml_free(&j.data);
    free(j.folder);
    free(j.checkpoint);
    free(j.model_yaml);
    return s;
}

static status evolve_task(program *p)
{
    data_yaml data;
    TRY(find_everything(p, &data)); /* a coordinator downloads nothing */
    data_yaml_free(&data);
    return evolve_run(&p->train, p->given, p->own.evolve);
}

/* ---- the program ---- */

static status choose(program *p)
{
    enum { SECTIONS = 2 };
    if (p->own.help) options_help(p->sections, SECTIONS, usage, about, stdout);
    else if (p->own.man) options_man(p->sections, SECTIONS, "mendel-train", usage, about, stdout);
    else if (p->own.version) printf("mendel-train %s\n", MENDEL_VERSION);
    else if (p->own.probe) return print_probe(&p->train);
    else if (p->own.candidate >= 0) return candidate_run((int)p->own.candidate, p->train.device, p->train.threads);
    else if (p->own.task == TASK_EXPORT) return export_task(p);
    else if (p->own.task != TASK_TRAIN) return evaluate_task(p);
    else if (*p->own.evolve) return evolve_task(p);
    else return train_task(p);
    return OK;
}

int main(int argc, char **argv)
{
    program p = {0};
    p.sections[0] = train_section(&p.train, p.given);
    p.sections[1] = (option_section){"program", rows, sizeof rows / sizeof *rows, &p.own, NULL};
    status s = options_defaults(p.sections, 2);
    int bad_usage = 0;
    if (s == OK) {
        s = options_parse(p.sections, 2, argc, argv, NULL);
        bad_usage = s != OK;
    }
    if (s == OK) s = choose(&p);
    if (s != OK && s != ERR_STOPPED) log_error("%s", status_message());
    options_free(p.sections, 2);
    return s == OK ? 0 : bad_usage ? EXIT_USAGE : s == ERR_STOPPED ? EXIT_INTERRUPTED : 1;
}
