#include "worker/data/anchors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "common/progress.h"

static const double recall_usual = 0.98, scale_least = 0.9, scale_most = 1.1;
static const double small_least = 3, used_least = 2, side_least = 2; /* pixels */
static const double mutation_chance = 0.9, mutation_size = 0.1, factor_least = 0.3, factor_most = 3;

/* ---- boxes ---- */

status anchors_boxes(const dataset *data, int image_size, draw *scale, point **sizes, size_t *count)
{
    TRY(array_new(sizes, data->label_count));
    *count = 0;
    for (int i = 0; i < data->count; i++) {
        const dataset_image *image = &data->images[i];
        const label *l = dataset_labels(data, i);
        double longest = image->width > image->height ? image->width : image->height;
        double gain = scale ? draw_uniform_numpy(scale, scale_least, scale_most) : 1;
        double width = image_size * (double)image->width / longest * gain,
               height = image_size * (double)image->height / longest * gain;
        for (size_t k = 0; k < image->labels; k++)
            (*sizes)[(*count)++] = (point){(double)l[k].w * width, (double)l[k].h * height};
    }
    return OK;
}

/* ---- measuring ---- */

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

/* Of one box side and one anchor side, in float32. */
static float ratio_of(float box, float anchor)
{
    float r = box / anchor;
    return smaller(r, 1 / r);
}

anchors_fit anchors_measure(const point *boxes, size_t box_count, const point *anchors, size_t count, double anchor_t)
{
    anchors_fit fit = {0};
    float least = (float)(1 / anchor_t);
    double good_ratios = 0;
    size_t recalled = 0, good = 0;
    if (!box_count || !count) return fit;
    for (size_t i = 0; i < box_count; i++) {
        float best = 0;
        for (size_t a = 0; a < count; a++) {
            float r = smaller(ratio_of((float)boxes[i].x, (float)anchors[a].x),
                              ratio_of((float)boxes[i].y, (float)anchors[a].y));
            fit.all += (double)r;
            if (r > least) {
                good++;
                good_ratios += (double)r;
            }
            if (r > best) best = r;
        }
        recalled += best > least;
        fit.best += (double)best;
        if (best > least) fit.fitness += (double)best;
    }
    fit.recall = (double)((float)recalled / (float)box_count);
    fit.per_box = (double)((float)good / (float)box_count);
    fit.fitness /= (double)box_count;
    fit.best /= (double)box_count;
    fit.all /= (double)box_count * (double)count;
    fit.good = good ? good_ratios / (double)good : 0;
    return fit;
}

/* ---- fitness alone, for a thousand generations ---- */

/* The loops over boxes go in steps of this many values, so that the compiler makes vectors of them. */
enum { BLOCK = 32 };

typedef struct search {
    float *width, *height; /* of the boxes in float32, with zeros (ratio 0) up to a multiple of BLOCK */
    size_t boxes, padded;
    float least; /* 1 / anchor_t */
    size_t count;
    point *best, *tried; /* anchors */
    double *draws;       /* 2 a side */
} search;

static void better_of(const float *width, const float *height, const point *anchor, float best[BLOCK])
{
    const float w = (float)anchor->x, h = (float)anchor->y;
    for (int i = 0; i < BLOCK; i++) {
        float a = width[i] / w, b = height[i] / h, c = 1 / a, d = 1 / b;
        float x = a < c ? a : c, y = b < d ? b : d, r = x < y ? x : y;
        best[i] = best[i] > r ? best[i] : r;
    }
}

static double fitness_of(const search *s, const point *anchors)
{
    double sum = 0;
    for (size_t start = 0; start < s->padded; start += BLOCK) {
        float best[BLOCK] = {0};
        for (size_t a = 0; a < s->count; a++) better_of(s->width + start, s->height + start, &anchors[a], best);
        for (int i = 0; i < BLOCK; i++)
            if (best[i] > s->least) sum += (double)best[i];
    }
    return sum / (double)s->boxes;
}

static status search_start(search *s, const point *boxes, size_t box_count, const anchors_options *o)
{
    *s = (search){.boxes = box_count, .count = (size_t)o->count, .least = (float)(1 / o->anchor_t)};
    s->padded = (box_count + BLOCK - 1) / BLOCK * BLOCK;
    TRY(array_new(&s->width, s->padded));
    TRY(array_new(&s->height, s->padded));
    TRY(array_new(&s->best, s->count));
    TRY(array_new(&s->tried, s->count));
    TRY(array_new(&s->draws, 4 * s->count));
    for (size_t i = 0; i < box_count; i++) {
        s->width[i] = (float)boxes[i].x;
        s->height[i] = (float)boxes[i].y;
    }
    return OK;
}

static void search_free(search *s)
{
    free(s->width);
    free(s->height);
    free(s->best);
    free(s->tried);
    free(s->draws);
}

/* ---- mutation ---- */

static double clip(double value, double least, double most)
{
    return fmin(fmax(value, least), most);
}

/* Draws anew until something changes, as the reference does. */
static void mutate(search *s, draw *d)
{
    size_t sides = 2 * s->count;
    double *chance = s->draws, *factor = s->draws + sides;
    for (bool changed = false; !changed;) {
        for (size_t i = 0; i < sides; i++) chance[i] = draw_uniform_numpy(d, 0, 1);
        double size = draw_uniform_numpy(d, 0, 1);
        for (size_t i = 0; i < sides; i++) {
            double hit = chance[i] < mutation_chance ? 1 : 0;
            factor[i] = clip(hit * size * draw_normal(d) * mutation_size + 1, factor_least, factor_most);
            changed |= factor[i] != 1;
        }
    }
    for (size_t a = 0; a < s->count; a++)
        s->tried[a] =
            (point){fmax(s->best[a].x * factor[2 * a], side_least), fmax(s->best[a].y * factor[2 * a + 1], side_least)};
}

static void evolve(search *s, int generations, draw *d)
{
    progress bar;
    text words = {0};
    double fitness = fitness_of(s, s->best);
    progress_start(&bar, generations, "generation");
    for (int g = 0; g < generations; g++) {
        mutate(s, d);
        double tried = fitness_of(s, s->tried);
        if (tried > fitness) {
            fitness = tried;
            memcpy(s->best, s->tried, s->count * sizeof *s->best);
        }
        text_clear(&words);
        text_add(&words, "Evolving anchors with Genetic Algorithm: fitness = %.4f", fitness);
        progress_show(&bar, g + 1, text_string(&words));
    }
    if (generations) progress_finish(&bar, text_string(&words));
    text_free(&words);
}

/* ---- finding ---- */

/* What the search looks at: boxes of some size, at most ANCHORS_BOXES_MOST. The caller frees *used. */
static status choose_boxes(draw *d, const point *boxes, size_t box_count, point **used, size_t *count)
{
    size_t small = 0, n = 0;
    TRY(array_new(used, box_count));
    for (size_t i = 0; i < box_count; i++) {
        small += boxes[i].x < small_least || boxes[i].y < small_least;
        if (boxes[i].x >= used_least || boxes[i].y >= used_least) (*used)[n++] = boxes[i];
    }
    *count = n;
    if (small)
        log_warning("Extremely small objects found. %zu of %zu labels are < 3 pixels in width or height.", small,
                    box_count);
    if (n <= ANCHORS_BOXES_MOST) return OK;
    size_t *some;
    TRY(array_new(&some, ANCHORS_BOXES_MOST));
    status s = draw_some(d, n, ANCHORS_BOXES_MOST, some);
    point *sample = NULL;
    if (s == OK) s = array_new(&sample, ANCHORS_BOXES_MOST);
    for (size_t i = 0; s == OK && i < ANCHORS_BOXES_MOST; i++) sample[i] = (*used)[some[i]];
    free(some);
    if (s != OK) return s;
    free(*used);
    *used = sample;
    *count = ANCHORS_BOXES_MOST;
    return OK;
}

/* Standard deviation of each side; 1 where all are the same. */
static point spread_of(const point *boxes, size_t count)
{
    point sum = {0}, squares = {0};
    for (size_t i = 0; i < count; i++) {
        sum.x += boxes[i].x;
        sum.y += boxes[i].y;
    }
    for (size_t i = 0; i < count; i++) {
        double x = boxes[i].x - sum.x / (double)count, y = boxes[i].y - sum.y / (double)count;
        squares.x += x * x;
        squares.y += y * y;
    }
    point spread = {sqrt(squares.x / (double)count), sqrt(squares.y / (double)count)};
    if (!(spread.x > 0)) spread.x = 1;
    if (!(spread.y > 0)) spread.y = 1;
    return spread;
}

/* k-means of the boxes, with both sides on the same footing. */
static status cluster(draw *d, const point *boxes, size_t box_count, point *centres, size_t count)
{
    point *scaled, spread = spread_of(boxes, box_count);
    double distance;
    TRY(array_new(&scaled, box_count));
    for (size_t i = 0; i < box_count; i++) scaled[i] = (point){boxes[i].x / spread.x, boxes[i].y / spread.y};
    status s = kmeans(d, scaled, box_count, count, centres, &distance);
    free(scaled);
    for (size_t i = 0; s == OK && i < count; i++)
        centres[i] = (point){fmax(centres[i].x * spread.x, side_least), fmax(centres[i].y * spread.y, side_least)};
    return s;
}

static int by_area(const void *a, const void *b)
{
    const point *p = a, *q = b;
    double x = p->x * p->y, y = q->x * q->y;
    if (x != y) return x < y ? -1 : 1;
    return p->x < q->x ? -1 : p->x > q->x; /* any order that does not depend on qsort */
}

static void log_fit(const anchors_options *o, const point *boxes, size_t box_count, const point *anchors)
{
    anchors_fit f = anchors_measure(boxes, box_count, anchors, (size_t)o->count, o->anchor_t);
    text words = {0};
    log_info("thr=%.2f: %.4f best possible recall, %.2f anchors past thr", 1 / o->anchor_t, f.recall, f.per_box);
    text_add(&words, "n=%d, img_size=%d, metric_all=%.3f/%.3f-mean/best, past_thr=%.3f-mean: ", o->count, o->image_size,
             f.all, f.best, f.good);
    for (int i = 0; i < o->count; i++)
        text_add(&words, "%s%.0f,%.0f", i ? ",  " : "", rint(anchors[i].x), rint(anchors[i].y));
    log_info("%s", text_string(&words));
    text_free(&words);
}

/* With `used` chosen from the boxes: k-means, then mutation. */
static status find_in(const anchors_options *o, int generations, draw *d, const point *boxes, size_t box_count,
                      const point *used, size_t used_count, point *found)
{
    size_t count = (size_t)o->count;
    search s = {0};
    if (used_count < count)
        return FAIL(ERR_RANGE, "%zu boxes of 2 pixels or more are too few to choose %zu anchors by", used_count, count);
    log_info("Running kmeans for %zu anchors on %zu points...", count, used_count);
    TRY(cluster(d, used, used_count, found, count));
    qsort(found, count, sizeof *found, by_area);
    log_fit(o, boxes, box_count, found);
    status result = search_start(&s, used, used_count, o);
    if (result == OK) {
        memcpy(s.best, found, count * sizeof *found);
        evolve(&s, generations, d);
        memcpy(found, s.best, count * sizeof *found);
        qsort(found, count, sizeof *found, by_area);
        if (generations) log_fit(o, boxes, box_count, found);
    }
    search_free(&s);
    return result;
}

status anchors_find(const anchors_options *options, int generations, draw *d, const point *boxes, size_t box_count,
                    point *found)
{
    point *used = NULL;
    size_t used_count;
    status s = choose_boxes(d, boxes, box_count, &used, &used_count);
    if (s == OK) s = find_in(options, generations, d, boxes, box_count, used, used_count, found);
    free(used);
    return s;
}

/* ---- checking ---- */

void anchors_describe(const anchors_result *result, text *out)
{
    text_add(out, "Analyzing anchors... anchors/target = %.2f, Best Possible Recall (BPR) = %.4f%s",
             result->before.per_box, result->before.recall,
             result->searched ? ". Attempting to generate improved anchors, please wait..." : "");
}

static void log_result(const anchors_result *r)
{
    text line = {0};
    anchors_describe(r, &line);
    log_info("%s", text_string(&line));
    text_free(&line);
}

/* Better anchors into `anchors`, if there are any. `scaled` are the boxes that the check is about. */
static status improve(const dataset *data, const anchors_options *o, draw *d, const point *scaled, point *anchors,
                      anchors_result *out)
{
    size_t count = (size_t)o->count, box_count;
    point *found, *boxes = NULL;
    TRY(array_new(&found, count));
    status s = anchors_boxes(data, o->image_size, NULL, &boxes, &box_count);
    if (s == OK) s = anchors_find(o, o->generations ? o->generations : ANCHORS_GENERATIONS, d, boxes, box_count, found);
    if (s == OK) {
        anchors_fit fit = anchors_measure(scaled, out->boxes, found, count, o->anchor_t);
        out->changed = fit.recall > out->before.recall;
        if (out->changed) {
            out->after = fit;
            memcpy(anchors, found, count * sizeof *found);
        }
        log_info(out->changed ? "New anchors saved to model. Update model *.yaml to use these anchors in the future."
                              : "Original anchors better than new anchors. Proceeding with original anchors.");
    } else if (s == ERR_RANGE) { /* a data set this small trains with what there is */
        log_warning("%s; proceeding with the original anchors", status_message());
        s = OK;
    }
    free(boxes);
    free(found);
    return s;
}

static status check(const dataset *data, const anchors_options *o, draw *d, const point *boxes, point *anchors,
                    float *pixels, anchors_result *out)
{
    size_t count = (size_t)o->count;
    double least = o->recall_least > 0 ? o->recall_least : recall_usual;
    for (size_t i = 0; i < count; i++) anchors[i] = (point){(double)pixels[2 * i], (double)pixels[2 * i + 1]};
    out->before = out->after = anchors_measure(boxes, out->boxes, anchors, count, o->anchor_t);
    out->searched = out->boxes && out->before.recall < least;
    log_result(out);
    if (!out->searched) return OK;
    TRY(improve(data, o, d, boxes, anchors, out));
    for (size_t i = 0; out->changed && i < count; i++) {
        pixels[2 * i] = (float)anchors[i].x;
        pixels[2 * i + 1] = (float)anchors[i].y;
    }
    return OK;
}

status anchors_check(const dataset *data, const anchors_options *options, draw *d, float *pixels, anchors_result *out)
{
    point *boxes = NULL, *anchors = NULL;
    *out = (anchors_result){0};
    if (options->count < 1 || options->image_size < 1 || !(options->anchor_t >= 1) || options->generations < 0)
        return FAIL(ERR_ARGUMENT, "%d anchors at image size %d with anchor_t %g cannot be checked", options->count,
                    options->image_size, options->anchor_t);
    status s = anchors_boxes(data, options->image_size, d, &boxes, &out->boxes);
    if (s == OK) s = array_new(&anchors, (size_t)options->count);
    if (s == OK) s = check(data, options, d, boxes, anchors, pixels, out);
    free(boxes);
    free(anchors);
    return s;
}
