#include "common/train_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"

enum { LAYERS_FROZEN_MOST = 1000 };

#define ROWS(ROW)                                                                                                      \
    ROW(train_options, weights, STRING, "weights", "", "yolov5s.pt", 0, 0, "FILE",                                     \
        "initial weights; '' trains from scratch, the default when --cfg is given")                                    \
    ROW(train_options, cfg, STRING, "cfg", "", "", 0, 0, "FILE", "model yaml")                                         \
    ROW(train_options, data, STRING, "data", "", "data/coco128.yaml", 0, 0, "FILE", "data yaml")                       \
    ROW(train_options, hyp, STRING, "hyp", "", "", 0, 0, "FILE",                                                       \
        "hyperparameters; by default those of hyp.finetune with weights, of hyp.scratch without")                      \
    ROW(train_options, epochs, INT, "epochs", "", "300", 1, 1e6, "N", "passes over the training pictures")             \
    ROW(train_options, batch_size, INT, "batch-size", "", "16", 1, 65536, "N",                                         \
        "pictures a step, of all devices together")                                                                    \
    ROW(train_options, img_size, INTS, "img-size", "imgsz", "640 640", 32, 16384, "TRAIN [TEST]",                      \
        "picture sizes in pixels")                                                                                     \
    ROW(train_options, rect, FLAG, "rect", "", "", 0, 0, "", "rectangular training")                                   \
    ROW(train_options, resume, MAYBE, "resume", "", "false", 0, 0, "LAST.PT",                                          \
        "go on with an interrupted training, the newest below runs/ by default")                                       \
    ROW(train_options, nosave, FLAG, "nosave", "", "", 0, 0, "", "save the final checkpoint only")                     \
    ROW(train_options, notest, FLAG, "notest", "noval", "", 0, 0, "", "validate after the last epoch only")            \
    ROW(train_options, test_every, INT, "test-every", "", "0", 0, 1e6, "N",                                            \
        "with --notest: validate after every N-th epoch all the same, to look how it goes; 0: no")                     \
    ROW(train_options, noautoanchor, FLAG, "noautoanchor", "", "", 0, 0, "", "do not check the anchors")               \
    ROW(train_options, bucket, STRING, "bucket", "", "", 0, 0, "REMOTE",                                               \
        "share results through gs://BUCKET (gsutil) or NAME:PATH (rclone): of an evolution its rows, of a training "   \
        "with --name results and weights")                                                                             \
    ROW(train_options, cache_images, FLAG, "cache-images", "cache", "", 0, 0, "", "keep decoded pictures in memory")   \
    ROW(train_options, image_weights, FLAG, "image-weights", "", "", 0, 0, "",                                         \
        "draw pictures by the weight of their classes")                                                                \
    ROW(train_options, name, STRING, "name", "", "", 0, 0, "NAME", "added to the names of run folder and weights")     \
    ROW(train_options, exist_ok, FLAG, "exist-ok", "", "", 0, 0, "",                                                   \
        "results go to LOGDIR/NAME, whatever is there already")                                                        \
    ROW(train_options, device, STRING, "device", "", "", 0, 0, "DEVICE,...",                                           \
        "cpu, or '' for the best there is; cpu,cpu: a rank on each, which share batch and threads")                    \
    ROW(train_options, multi_scale, FLAG, "multi-scale", "", "", 0, 0, "", "vary the picture size by +/- 50 %")        \
    ROW(train_options, single_cls, FLAG, "single-cls", "", "", 0, 0, "", "take all classes for one")                   \
    ROW(train_options, adam, FLAG, "adam", "", "", 0, 0, "", "Adam instead of SGD")                                    \
    ROW(train_options, optimizer, CHOICE, "optimizer", "", "auto", 0, 0, "auto|SGD|Adam", "another way to say --adam") \
    ROW(train_options, sync_bn, FLAG, "sync-bn", "", "", 0, 0, "", "batch-norm over the pictures of all ranks")        \
    ROW(train_options, patience, INT, "patience", "", "0", 0, 1e6, "N",                                                \
        "stop after so many epochs without a better fitness; 0: never, as the reference")                              \
    ROW(train_options, freeze, STRING, "freeze", "", "", 0, 0, "PART,...|N",                                           \
        "do not train parameters with one of these parts in their names, such as model.0.,model.1., or the first N "   \
        "layers")                                                                                                      \
    ROW(train_options, logdir, STRING, "logdir", "project", "runs/", 0, 0, "FOLDER", "where run folders go")           \
    ROW(train_options, workers, INT, "workers", "", "8", 0, 1024, "N", "most threads that read pictures")              \
    ROW(train_options, seed, INT, "seed", "", "1", 0, 4294967295.0, "N",                                               \
        "of all random numbers; the reference's own is 1 (2 + rank -1)")                                               \
    ROW(train_options, threads, INT, "threads", "", "0", 0, 4096, "N", "compute threads of a CPU, 0: all cores")       \
    ROW(train_options, precision, CHOICE, "precision", "", "auto", 0, 0, "auto|fp32|bf16|fp16",                        \
        "of feature maps; auto takes the fastest that the device has")                                                 \
    ROW(train_options, no_shuffle, FLAG, "no-shuffle", "", "", 0, 0, "",                                               \
        "read the pictures in order, as the reference does")                                                           \
    ROW(train_options, warmup_cap, DOUBLE, "warmup-cap", "", "0.5", 0, 1, "FRACTION",                                  \
        "most of the training that warm-up may take; 0: no limit, as the reference")                                   \
    ROW(train_options, label_rules, CHOICE, "label-rules", "", "mendel", 0, 0, "mendel|reference",                     \
        "where a picture's labels are: 'reference' replaces every 'images' in the path")                               \
    ROW(train_options, drop_duplicates, FLAG, "drop-duplicates", "", "", 0, 0, "",                                     \
        "drop labels that stand twice in a file")                                                                      \
    ROW(train_options, nms_time_limit, DOUBLE, "nms-time-limit", "", "0", 0, 1e6, "SECONDS",                           \
        "stop suppression in a batch after this time; 0: never, the reference: 10")                                    \
    ROW(train_options, as_reference, FLAG, "as-reference", "", "", 0, 0, "",                                           \
        "--no-shuffle --warmup-cap 0 --label-rules reference --nms-time-limit 10, in an evolution --strategy yolov5")  \
    ROW(train_options, reference, CHOICE, "reference", "", "2020-08-31", 0, 0, "2020-08-31|2020-07-20",                \
        "the version of YOLOv5's train.py that is followed (docs/DIFFERENCES.md)")                                     \
    ROW(train_options, plots, CHOICE, "plots", "", "auto", 0, 0, "auto|always|never",                                  \
        "draw labels, batches, curves and results; auto: unless it is a candidate of an evolution")                    \
    ROW(train_options, tensorboard, CHOICE, "tensorboard", "", "auto", 0, 0, "auto|always|never",                      \
        "write events for TensorBoard; auto: unless it is a candidate of an evolution")

const option_row train_rows[] = {ROWS(OPTION_AS_ROW)};
#define ONE_ROW(...) +1 /* sizeof train_rows would only give back the header's size */
_Static_assert(0 ROWS(ONE_ROW) == TRAIN_ROWS, "TRAIN_ROWS counts the table above");

option_section train_section(train_options *o, bool *given)
{
    return (option_section){"training", train_rows, TRAIN_ROWS, o, given};
}

static bool was_given(const bool *given, const char *name)
{
    const option_row *row = options_find(train_rows, TRAIN_ROWS, name);
    return given && row && given[row - train_rows];
}

static status set(train_options *o, const char *name, const char *value)
{
    return options_set(options_find(train_rows, TRAIN_ROWS, name), o, value, name);
}

static status choose_optimizer(train_options *o)
{
    if (o->optimizer == TRAIN_SGD && o->adam) return FAIL(ERR_ARGUMENT, "--adam and --optimizer SGD: one of them");
    o->adam |= o->optimizer == TRAIN_ADAM;
    o->optimizer = TRAIN_OPTIMIZER_AUTO;
    return OK;
}

/* The later spelling: a number of layers. */
static status name_frozen_layers(train_options *o)
{
    long long layers;
    text parts = {0};
    if (!text_to_long(o->freeze, &layers)) return OK;
    if (layers < 0 || layers > LAYERS_FROZEN_MOST)
        return FAIL(ERR_ARGUMENT, "--freeze: 0 to %d layers, or parts of names were expected, found %lld",
                    LAYERS_FROZEN_MOST, layers);
    for (long long i = 0; i < layers; i++) text_add(&parts, "%smodel.%lld.", i ? "," : "", i);
    status s = text_status(&parts);
    if (s == OK) s = set(o, "freeze", text_string(&parts));
    text_free(&parts);
    return s;
}

status train_options_complete(train_options *o, const bool *given)
{
    if (*o->cfg && !was_given(given, "weights")) TRY(set(o, "weights", ""));
    if (!*o->cfg && !*o->weights) return FAIL(ERR_ARGUMENT, "either --cfg or --weights must be given");
    if (o->img_size.count > 2) return FAIL(ERR_ARGUMENT, "--img-size: one or two sizes were expected");
    if (o->img_size.count == 1) o->img_size.values[o->img_size.count++] = o->img_size.values[0];
    if (o->as_reference) {
        o->no_shuffle = true;
        if (!was_given(given, "warmup-cap")) o->warmup_cap = 0;
        if (!was_given(given, "label-rules")) o->label_rules = LABELS_REFERENCE;
        if (!was_given(given, "nms-time-limit")) o->nms_time_limit = 10;
    }
    TRY(choose_optimizer(o));
    return name_frozen_layers(o);
}

static status find_file(train_options *o, const char *name)
{
    const option_row *row = options_find(train_rows, TRAIN_ROWS, name);
    text value = {0};
    char *found = NULL;
    options_get(row, o, &value);
    status s = text_status(&value);
    if (s == OK && value.length) s = fs_find_file(text_string(&value), &found);
    if (s != OK) s = status_context(s, "--%s", name);
    if (s == OK && found) s = options_set(row, o, found, name);
    free(found);
    text_free(&value);
    return s;
}

status train_options_find_files(train_options *o)
{
    static const char *const files[] = {"data", "cfg", "hyp", "weights"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) TRY(find_file(o, files[i]));
    return OK;
}

/* ---- hyperparameters ---- */

void train_options_space(const train_options *o, hyp_space *space)
{
    if (o->reference == REFERENCE_2020_07_20) hyp_space_2020_07_20(space);
    else hyp_space_default(space);
}

/* Of a whole set, those that the space has; and the other way round. */
static void pick(const hyp_space *space, const double *hyps, double *own)
{
    hyp_space whole;
    hyp_space_default(&whole);
    for (size_t i = 0; i < space->count; i++) own[i] = hyps[hyp_find(&whole, space->rows[i].key)];
}

static void put_back(const hyp_space *space, const double *own, double *hyps)
{
    hyp_space whole;
    hyp_space_default(&whole);
    for (size_t i = 0; i < space->count; i++) hyps[hyp_find(&whole, space->rows[i].key)] = own[i];
}

status train_options_hyps(train_options *o, double *hyps)
{
    hyp_space space;
    double own[HYP_MAX];
    train_options_space(o, &space);
    bool older = o->reference == REFERENCE_2020_07_20, adam = false;
    hyp_defaults(&space, *o->weights, own);
    if (*o->hyp) TRY(older ? hyp_read_over(o->hyp, &space, own, &adam) : hyp_read(o->hyp, &space, own));
    o->adam |= adam;
    if (older) hyp_fix_2020_07_20(hyps);
    put_back(&space, own, hyps);
    return OK;
}

void train_options_write_hyps(const train_options *o, const double *hyps, text *out)
{
    hyp_space space;
    double own[HYP_MAX];
    train_options_space(o, &space);
    pick(&space, hyps, own);
    if (o->reference == REFERENCE_2020_07_20) text_add(out, "optimizer: %s\n", o->adam ? "adam" : "SGD");
    hyp_write(out, &space, own);
}

int64_t train_round_size(int64_t size, int64_t stride)
{
    int64_t rounded = (size + stride - 1) / stride * stride;
    if (rounded != size)
        log_warning("--img-size %lld must be a multiple of the largest stride %lld, made it %lld", (long long)size,
                    (long long)stride, (long long)rounded);
    return rounded;
}
