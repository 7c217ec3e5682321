/* anchors/: how well anchors fit the data set's boxes, and those that are found instead.
 *
 * What is drawn follows np.random.seed() as in the reference, but the search is a race that rounding can decide, so its results
 * have to be as good as the recorded ones, not the same. */
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/parity/data_shared.h"
#include "worker/data/anchors.h"

/* The anchors of the reference's yolov5s.yaml, which the cases of check_anchors scale. */
enum { DEFAULTS = 9 };
static const float defaults[2 * DEFAULTS] = {10, 13, 16,  30,  33, 23,  30,  61,  62,
                                             45, 59, 119, 116, 90, 156, 198, 373, 326};

#define SAME_RECALL ((tolerance){.abs = 1e-4})

/* What the README of the fixtures allows a search to miss. */
static const double recall_less = 0.001, recall_less_checked = 0.002, fitness_part = 0.999;

static void at_least(parity *p, const char *what, double got, double least)
{
    if (!(got >= least)) case_fail(p, "%s: %.6f, expected at least %.6f", what, got, least);
}

/* Anchors of a fixture, [width, height] each; kept by the parity. */
static const point *recorded_anchors(parity *p, const yaml_node *list, int64_t want)
{
    size_t count;
    const double *v = json_numbers(p, list, &count);
    if (!case_int(p, "anchors", (int64_t)count, 2 * want)) return NULL;
    point *out = parity_alloc(p, count / 2 * sizeof *out);
    for (size_t i = 0; i < count / 2; i++) out[i] = (point){v[2 * i], v[2 * i + 1]};
    return out;
}

/* ---- check_anchors ---- */

static void check_scale(parity *p, const yaml_node *c, uint32_t seed)
{
    size_t count;
    numpy_rng numpy;
    numpy_seed(&numpy, seed);
    draw d = draw_reference(NULL, &numpy);
    const double *want = json_numbers(p, json_get(p, c, "scale_first_5"), &count);
    for (size_t i = 0; i < count; i++)
        case_number(p, "scale_first_5", draw_uniform_numpy(&d, 0.9, 1.1), want[i], EXACT);
}

static void check_line(parity *p, const yaml_node *c, const anchors_result *got)
{
    text line = {0};
    const char *want = json_string(p, c, "printed_line");
    anchors_describe(got, &line);
    case_text(p, "printed_line", text_string(&line), line.length, want, strlen(want));
    text_free(&line);
}

/* Kept anchors have to be the old ones; those of a search are as many, by rising area. */
static void check_grid(parity *p, const yaml_node *c, const anchors_result *got, const float *pixels)
{
    const point *want = recorded_anchors(p, json_get(p, c, "anchor_grid_after"), DEFAULTS);
    for (int i = 0; want && i < DEFAULTS; i++) {
        if (got->searched) {
            if (i && pixels[2 * i] * pixels[2 * i + 1] < pixels[2 * i - 2] * pixels[2 * i - 1])
                case_fail(p, "anchor %d is smaller than the one before it", i);
            continue;
        }
        case_number(p, "anchor width", (double)pixels[2 * i], want[i].x, (tolerance){.rel = 1e-6});
        case_number(p, "anchor height", (double)pixels[2 * i + 1], want[i].y, (tolerance){.rel = 1e-6});
    }
}

static void check_case(parity *p, const yaml_node *c, const dataset *data)
{
    data_keys(p, c,
              "img_size anchor_t default_anchors_times numpy_seed bpr anchors_per_target scale_first_5 printed_line "
              "recomputed bpr_after_autoanchor anchor_grid_after");
    uint32_t seed = (uint32_t)json_int(p, c, "numpy_seed");
    numpy_rng numpy;
    anchors_result got;
    float pixels[2 * DEFAULTS], times = (float)json_double(p, c, "default_anchors_times");
    anchors_options o = {.image_size = (int)json_int(p, c, "img_size"),
                         .anchor_t = json_double(p, c, "anchor_t"),
                         .count = DEFAULTS};
    for (int i = 0; i < 2 * DEFAULTS; i++) pixels[i] = defaults[i] * times;
    numpy_seed(&numpy, seed);
    draw d = draw_reference(NULL, &numpy);
    if (!case_ok(p, "check", anchors_check(data, &o, &d, pixels, &got))) return;
    case_number(p, "bpr", got.before.recall, json_double(p, c, "bpr"), SAME_RECALL);
    case_number(p, "anchors_per_target", got.before.per_box, json_double(p, c, "anchors_per_target"), SAME_RECALL);
    case_int(p, "recomputed", got.searched, json_bool(p, c, "recomputed"));
    at_least(p, "bpr_after_autoanchor", got.after.recall,
             json_double(p, c, "bpr_after_autoanchor") - recall_less_checked);
    check_scale(p, c, seed);
    check_line(p, c, &got);
    check_grid(p, c, &got, pixels);
}

/* ---- kmean_anchors ---- */

/* The recorded anchors, measured here, and those found here. `generations` of mutation follow the k-means. */
static void search_stage(parity *p, const yaml_node *c, const char *stage, int generations, const point *boxes,
                         size_t box_count)
{
    const yaml_node *want = json_get(p, c, stage);
    anchors_options o = {.image_size = (int)json_int(p, c, "img_size"),
                         .anchor_t = json_double(p, c, "anchor_t"),
                         .count = (int)json_int(p, c, "n")};
    if (!want || o.count < 1) return;
    data_keys(p, want, "fitness bpr mean_best_ratio anchors");
    const point *recorded = recorded_anchors(p, json_get(p, want, "anchors"), o.count);
    if (!recorded) return;
    double fitness = json_double(p, want, "fitness"), recall = json_double(p, want, "bpr");
    anchors_fit fit = anchors_measure(boxes, box_count, recorded, (size_t)o.count, o.anchor_t);
    case_number(p, "fitness of the recorded anchors", fit.fitness, fitness, (tolerance){.abs = 1e-5});
    case_number(p, "bpr of the recorded anchors", fit.recall, recall, SAME_RECALL);
    case_number(p, "mean_best_ratio of the recorded anchors", fit.best, json_double(p, want, "mean_best_ratio"),
                (tolerance){.abs = 1e-5});
    numpy_rng numpy;
    numpy_seed(&numpy, (uint32_t)json_int(p, c, "numpy_seed"));
    draw d = draw_reference(NULL, &numpy);
    point *found = parity_alloc(p, (size_t)o.count * sizeof *found);
    if (!case_ok(p, stage, anchors_find(&o, generations, &d, boxes, box_count, found))) return;
    fit = anchors_measure(boxes, box_count, found, (size_t)o.count, o.anchor_t);
    at_least(p, parity_name(p, "%s fitness", stage), fit.fitness, fitness_part * fitness);
    at_least(p, parity_name(p, "%s bpr", stage), fit.recall, recall - recall_less);
}

static void search_case(parity *p, const yaml_node *c, const dataset *data)
{
    point *boxes;
    size_t count;
    int64_t used = 0;
    data_keys(p, c, "img_size anchor_t n gen numpy_seed n_boxes n_boxes_used kmeans_only evolved");
    if (!case_ok(p, "boxes", anchors_boxes(data, (int)json_int(p, c, "img_size"), NULL, &boxes, &count))) return;
    for (size_t i = 0; i < count; i++) used += boxes[i].x >= 2 || boxes[i].y >= 2;
    if (case_int(p, "n_boxes", (int64_t)count, json_int(p, c, "n_boxes")) &&
        case_int(p, "n_boxes_used", used, json_int(p, c, "n_boxes_used"))) {
        search_stage(p, c, "kmeans_only", 0, boxes, count);
        search_stage(p, c, "evolved", (int)json_int(p, c, "gen"), boxes, count);
    }
    free(boxes);
}

/* ---- all ---- */

static void run_file(parity *p, const char *name, const dataset *data,
                     void (*run)(parity *p, const yaml_node *c, const dataset *data))
{
    const yaml_node *cases = data_cases(p, parity_name(p, "anchors/%s.json", name));
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "anchors/%s %zu", name, i);
        if (data) run(p, &cases->items[i], data);
        else case_fail(p, "the pictures are missing");
        case_end(p);
    }
}

void parity_anchors(parity *p)
{
    dataset *data = NULL;
    const data_yaml *yaml = parity_data_set(p);
    if (yaml) case_ok(p, "data set", dataset_create(yaml, DATA_TRAIN, &(dataset_options){.no_cache = true}, &data));
    run_file(p, "check_anchors", data, check_case);
    run_file(p, "kmean_anchors", data, search_case);
    dataset_destroy(&data);
}
