#include "worker/metrics/ap.h"

#include <math.h>
#include <stdlib.h>

#include "common/array.h"

static const double score_of_interest = 0.1; /* where P and R are read off the curves */

/* ---- curves ---- */

/* np.interp for one x: left and right of xp the outermost values. *at is where the last search ended; x must not fall from
 * call to call. Recall that runs past 1 (more right detections than targets, which only made-up statistics have) is
 * followed by an end at 1: the walk stays in front of it, as NumPy's search from the last place does. */
static double interpolate(double x, const double *xp, const double *fp, size_t count, size_t *at)
{
    if (x < xp[0]) return fp[0];
    if (x > xp[count - 1]) return fp[count - 1];
    while (*at + 1 < count && xp[*at + 1] <= x) ++*at;
    size_t i = *at;
    if (i + 1 == count || xp[i] == x) return fp[i];
    return (fp[i + 1] - fp[i]) / (xp[i + 1] - xp[i]) * (x - xp[i]) + fp[i];
}

/* Of a class, at the score of interest. */
static double at_score(const double *minus_score, const double *values, size_t count)
{
    size_t at = 0;
    return interpolate(-score_of_interest, minus_score, values, count, &at);
}

/* Recall and precision after each detection of a class, best score first. recall and precision have a place in front of and
 * behind the `count` values, for the ends that compute_ap adds. */
typedef struct curve {
    double *recall, *precision, *minus_score;
    size_t count;
} curve;

static void set_curve(curve *c, const matching *m, const uint32_t *order, int overlap, double targets)
{
    double right = 0;
    for (size_t i = 0; i < c->count; i++) {
        right += m->correct[(size_t)order[i] * MATCHING_OVERLAPS + (size_t)overlap];
        c->recall[i + 1] = right / targets;
        c->precision[i + 1] = right / (double)(i + 1);
    }
}

/* The sum in NumPy's order: eight running ones, added up in pairs; halves, where there are many. What is printed with three
 * digits is often a tie, which the last bit decides. */
static double sum_of(const double *values, size_t count)
{
    enum { LANES = 8, BLOCK = 128 };
    double sums[LANES] = {0}, sum = 0;
    if (count > BLOCK) {
        size_t half = count / 2 - count / 2 % LANES;
        return sum_of(values, half) + sum_of(values + half, count - half);
    }
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i++) sums[i % LANES] += values[i];
    if (whole) sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (size_t i = whole; i < count; i++) sum += values[i];
    return sum;
}

/* np.trapz of np.interp at np.linspace(0, 1, 101), whose values go to `points` as well unless that is NULL. */
static double area_under(curve *c, float points[AP_CURVE_POINTS])
{
    size_t last = c->count + 1, at = 0;
    c->recall[0] = 0;
    c->recall[last] = fmin(c->recall[c->count] + 1e-3, 1);
    c->precision[0] = 0;
    c->precision[last] = 0;
    for (size_t i = last; i-- > 0;) c->precision[i] = fmax(c->precision[i], c->precision[i + 1]); /* the envelope */
    double parts[AP_CURVE_POINTS - 1], x = 0, y = interpolate(0, c->recall, c->precision, last + 1, &at);
    if (points) points[0] = (float)y;
    for (int k = 1; k < AP_CURVE_POINTS; k++) {
        double next = k == AP_CURVE_POINTS - 1 ? 1 : k * (1.0 / (AP_CURVE_POINTS - 1));
        double here = interpolate(next, c->recall, c->precision, last + 1, &at);
        parts[k - 1] = (next - x) * (here + y) / 2;
        x = next;
        y = here;
        if (points) points[k] = (float)here;
    }
    return sum_of(parts, AP_CURVE_POINTS - 1);
}

/* ---- one class ---- */

static void score_class(ap_class *row, const matching *m, const uint32_t *order, curve *c)
{
    double targets = (double)row->targets;
    for (size_t i = 0; i < c->count; i++) c->minus_score[i] = -(double)m->score[order[i]];
    for (int k = 0; k < MATCHING_OVERLAPS; k++) {
        set_curve(c, m, order, k, targets);
        if (k == 0) {
            row->recall = at_score(c->minus_score, c->recall + 1, c->count);
            row->precision = at_score(c->minus_score, c->precision + 1, c->count);
        }
        row->ap[k] = area_under(c, k == 0 ? row->curve : NULL);
    }
    row->mean = sum_of(row->ap, MATCHING_OVERLAPS) / MATCHING_OVERLAPS;
    row->f1 = 2 * row->precision * row->recall / (row->precision + row->recall + 1e-16);
}

/* ---- all classes ---- */

typedef struct ranked {
    float score;
    uint32_t index;
} ranked;

static int by_falling_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static status rank(const matching *m, ranked **out)
{
    if (m->count > UINT32_MAX) return FAIL(ERR_RANGE, "%zu detections are too many", m->count);
    TRY(array_new(out, m->count));
    for (size_t i = 0; i < m->count; i++) (*out)[i] = (ranked){m->score[i], (uint32_t)i};
    qsort(*out, m->count, sizeof **out, by_falling_score);
    return OK;
}

static int by_class(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* A row for every class among the targets, with their number. */
static status count_targets(const matching *m, ap_table *out)
{
    float *sorted;
    size_t room = 0;
    TRY(array_new(&sorted, m->target_count));
    for (size_t i = 0; i < m->target_count; i++) sorted[i] = m->target_class[i];
    qsort(sorted, m->target_count, sizeof *sorted, by_class);
    status s = OK;
    for (size_t i = 0; s == OK && i < m->target_count; i++) {
        if (!(sorted[i] >= 0 && sorted[i] < (float)INT32_MAX))
            s = FAIL(ERR_ARGUMENT, "a target of class %g", (double)sorted[i]);
        else if (out->count && out->rows[out->count - 1].class == (int)sorted[i]) out->rows[out->count - 1].targets++;
        else if ((s = array_room(&out->rows, &room, out->count + 1)) == OK)
            out->rows[out->count++] = (ap_class){.class = (int)sorted[i], .targets = 1};
    }
    free(sorted);
    return s;
}

static status score_classes(const matching *m, ap_table *out)
{
    ranked *all = NULL;
    uint32_t *order = NULL;
    curve c = {0};
    status s = count_targets(m, out);
    if (s == OK) s = rank(m, &all);
    if (s == OK) s = array_new(&order, m->count);
    if (s == OK) s = array_new(&c.recall, m->count + 2);
    if (s == OK) s = array_new(&c.precision, m->count + 2);
    if (s == OK) s = array_new(&c.minus_score, m->count);
    for (size_t k = 0; s == OK && k < out->count; k++) {
        c.count = 0;
        for (size_t i = 0; i < m->count; i++)
            if (m->class[all[i].index] == (float)out->rows[k].class) order[c.count++] = all[i].index;
        if (c.count) score_class(&out->rows[k], m, order, &c);
    }
    free(all);
    free(order);
    free(c.recall);
    free(c.precision);
    free(c.minus_score);
    return s;
}

status ap_per_class(const matching *m, ap_table *out)
{
    *out = (ap_table){0};
    status s = score_classes(m, out);
    if (s != OK) ap_table_free(out);
    return s;
}

void ap_table_free(ap_table *t)
{
    free(t->rows);
    *t = (ap_table){0};
}

/* ---- the summary ---- */

/* The means over the rows of the table, of which there is at least one: what is right has a target. */
static status average(ap_summary *out)
{
    size_t classes = out->table.count;
    double *columns;
    TRY(array_new(&columns, 4 * classes));
    for (size_t k = 0; k < classes; k++) {
        const ap_class *row = &out->table.rows[k];
        out->targets += row->targets;
        columns[k] = row->precision;
        columns[classes + k] = row->recall;
        columns[2 * classes + k] = row->ap[0];
        columns[3 * classes + k] = row->mean;
    }
    out->precision = sum_of(columns, classes) / (double)classes;
    out->recall = sum_of(columns + classes, classes) / (double)classes;
    out->map50 = sum_of(columns + 2 * classes, classes) / (double)classes;
    out->map = sum_of(columns + 3 * classes, classes) / (double)classes;
    free(columns);
    return OK;
}

status ap_summarize(const matching *m, ap_summary *out)
{
    *out = (ap_summary){.images = m->images};
    bool any = false;
    for (size_t i = 0; i < m->count * MATCHING_OVERLAPS && !any; i++) any = m->correct[i];
    if (!any) return OK;
    TRY(ap_per_class(m, &out->table));
    status s = average(out);
    if (s != OK) ap_summary_free(out);
    return s;
}

void ap_summary_free(ap_summary *s)
{
    ap_table_free(&s->table);
    *s = (ap_summary){0};
}

void ap_maps(const ap_summary *s, int classes, double *maps)
{
    for (int c = 0; c < classes; c++) maps[c] = s->map;
    for (size_t k = 0; k < s->table.count; k++)
        if (s->table.rows[k].class < classes) maps[s->table.rows[k].class] = s->table.rows[k].mean;
}

/* ---- for people ---- */

void ap_heading(text *out)
{
    text_add(out, "%20s%12s%12s%12s%12s%12s%12s\n", "Class", "Images", "Targets", "P", "R", "mAP@.5", "mAP@.5:.95");
}

static void add_line(text *out, const char *name, int64_t images, int64_t targets, const double results[4])
{
    text_add(out, "%20s%12.3g%12.3g%12.3g%12.3g%12.3g%12.3g\n", name, (double)images, (double)targets, results[0],
             results[1], results[2], results[3]);
}

void ap_print(const ap_summary *s, char *const *names, int classes, bool per_class, text *out)
{
    add_line(out, "all", s->images, s->targets, (double[4]){s->precision, s->recall, s->map50, s->map});
    for (size_t k = 0; per_class && classes > 1 && k < s->table.count; k++) {
        const ap_class *row = &s->table.rows[k];
        const char *name = row->class < classes ? names[row->class] : "?";
        add_line(out, name, s->images, row->targets, (double[4]){row->precision, row->recall, row->ap[0], row->mean});
    }
}
