/* detect_nms.c - non-maximum suppression.
 *
 * Candidates are sorted by score, ties in the order of the rows (a radix sort: stable, and linear in their number). Going down
 * that order a candidate stays unless one that stayed before overlaps it too much. That is what torchvision's pass over all
 * pairs leaves, but each candidate meets only the few hundred that stayed, and of these only those of its own class: boxes
 * are moved apart by 4096 pixels a class, so others cannot touch it unless the boxes themselves spread over more than that.
 * The pass ends when enough have stayed.
 *
 * Overlaps are float32 in the moved coordinates, as torchvision computes them. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/detect_inner.h"
#include "worker/backend/cpu/parallel.h"

enum { CLASS_OFFSET = 4096, MERGE_LEAST = 2, MERGE_MOST = 2999, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

typedef struct candidate {
    float x1, y1, x2, y2, score;
    int class;
} candidate;

typedef struct kept_box {
    float x1, y1, x2, y2, area; /* moved by its class */
    uint32_t candidate;
    int next; /* of its chain, -1 at the end */
} kept_box;

/* What one thread works in. */
typedef struct nms_thread {
    candidate *items;
    size_t count, room;
    uint32_t *order; /* candidates by score; behind them as many for sorting */
    size_t order_room;
    kept_box *kept; /* `most` */
    int *chain;     /* newest kept box of each class, -1 if none */
    float *row;     /* one decoded row */
    status result;
} nms_thread;

struct detect_nms {
    nms_parameters p;
    int classes, threads;
    bool *wanted; /* of each class */
    nms_thread *thread;
    /* The run in hand: decoded rows, or views to decode them from. */
    const float *decoded;
    const detect_view *views;
    const detect_parameters *detect;
    int images;
    int64_t rows;
    float *boxes;
    int *counts;
};

/* ---- memory ---- */

static status create_thread(const detect_nms *n, nms_thread *t)
{
    TRY(array_new(&t->kept, (size_t)n->p.most));
    TRY(array_new(&t->chain, (size_t)n->classes));
    return array_new(&t->row, 5 + (size_t)n->classes);
}

status detect_nms_create(const nms_parameters *p, int classes, int threads, detect_nms **out)
{
    *out = NULL;
    if (classes < 1 || p->most < 1 || !(p->min_score >= 0) || !(p->max_iou >= 0))
        return FAIL(ERR_ARGUMENT, "suppression to %d boxes of %d classes above score %g, overlap %g: cannot be",
                    p->most, classes, (double)p->min_score, p->max_iou);
    detect_nms *n;
    TRY(array_new(&n, 1));
    *n = (detect_nms){.p = *p, .classes = classes, .threads = threads > 1 ? threads : 1};
    status s = array_new(&n->wanted, (size_t)classes);
    if (s == OK) s = array_new(&n->thread, (size_t)n->threads);
    for (int i = 0; s == OK && i < n->threads; i++) s = create_thread(n, &n->thread[i]);
    for (int c = 0; s == OK && c < classes; c++) n->wanted[c] = p->only == NULL;
    for (int i = 0; s == OK && p->only && i < p->only_count; i++)
        if (p->only[i] >= 0 && p->only[i] < classes) n->wanted[p->only[i]] = true;
    if (s != OK) detect_nms_destroy(&n);
    *out = n;
    return s;
}

void detect_nms_destroy(detect_nms **n)
{
    if (!*n) return;
    for (int i = 0; (*n)->thread && i < (*n)->threads; i++) {
        nms_thread *t = &(*n)->thread[i];
        free(t->items);
        free(t->order);
        free(t->kept);
        free(t->chain);
        free(t->row);
    }
    free((*n)->thread);
    free((*n)->wanted);
    free(*n);
    *n = NULL;
}

/* ---- candidates ---- */

static void push(nms_thread *t, const float *row, float score, int class)
{
    t->items[t->count++] =
        (candidate){row[0] - row[2] / 2, row[1] - row[3] / 2, row[0] + row[2] / 2, row[1] + row[3] / 2, score, class};
}

/* The candidates of one row whose objectness is high enough: one for each class, or one for the best. */
static status add_row(const detect_nms *n, nms_thread *t, const float *row)
{
    TRY(array_room(&t->items, &t->room, t->count + (size_t)n->classes));
    float least = n->p.min_score;
    const float *class = row + 5;
    if (n->p.multi_label) {
        for (int c = 0; c < n->classes; c++)
            if (class[c] * row[4] > least && n->wanted[c]) push(t, row, class[c] * row[4], c);
        return OK;
    }
    int best = 0; /* the first of equals */
    for (int c = 1; c < n->classes; c++)
        if (class[c] * row[4] > class[best] * row[4]) best = c;
    if (class[best] * row[4] > least && n->wanted[best]) push(t, row, class[best] * row[4], best);
    return OK;
}

static status gather_decoded(const detect_nms *n, nms_thread *t, int image)
{
    int64_t channels = 5 + n->classes;
    const float *row = n->decoded + image * n->rows * channels;
    for (int64_t i = 0; i < n->rows; i++, row += channels)
        if (row[4] > n->p.min_score) TRY(add_row(n, t, row));
    return OK;
}

static status gather_level(const detect_nms *n, nms_thread *t, int image, int index)
{
    const detect_view *v = &n->views[index];
    for (int a = 0; a < n->detect->anchors; a++) {
        const float *object = v->value + detect_start(v, image, a * (5 + n->classes) + 4);
        for (int y = 0; y < v->height; y++)
            for (int x = 0; x < v->width; x++, object += v->block) {
                if (!(detect_sigmoid(*object) > n->p.min_score)) continue;
                detect_decode_row(v, n->detect, index, image, a, y, x, t->row);
                TRY(add_row(n, t, t->row));
            }
    }
    return OK;
}

static status gather(const detect_nms *n, nms_thread *t, int image)
{
    t->count = 0;
    if (!n->views) return gather_decoded(n, t, image);
    for (int i = 0; i < n->detect->levels; i++) TRY(gather_level(n, t, image, i));
    return OK;
}

/* ---- order ---- */

/* Bits that grow as the score falls: scores lie above a threshold of at least 0. */
static uint32_t sort_key(const candidate *c)
{
    uint32_t bits;
    memcpy(&bits, &c->score, sizeof bits);
    return ~bits;
}

static void sort_pass(const nms_thread *t, int shift, const uint32_t *from, uint32_t *to)
{
    size_t starts[DIGITS + 1] = {0};
    for (size_t i = 0; i < t->count; i++) starts[(sort_key(&t->items[i]) >> shift) % DIGITS + 1]++;
    for (int d = 0; d < DIGITS; d++) starts[d + 1] += starts[d];
    for (size_t i = 0; i < t->count; i++) to[starts[(sort_key(&t->items[from[i]]) >> shift) % DIGITS]++] = from[i];
}

static status sort_by_score(nms_thread *t)
{
    if (t->count > UINT32_MAX) return FAIL(ERR_RANGE, "%zu candidates in one image are too many", t->count);
    if (!t->count) return OK;
    TRY(array_room(&t->order, &t->order_room, 2 * t->count));
    uint32_t *done = t->order, *other = t->order + t->count;
    for (size_t i = 0; i < t->count; i++) other[i] = (uint32_t)i;
    sort_pass(t, 0, other, done);
    sort_pass(t, DIGIT_BITS, done, other);
    sort_pass(t, 2 * DIGIT_BITS, other, done);
    return OK;
}

/* ---- suppression ---- */

static kept_box moved(const detect_nms *n, const nms_thread *t, uint32_t index)
{
    const candidate *c = &t->items[index];
    float by = n->p.agnostic ? 0 : (float)c->class * CLASS_OFFSET;
    kept_box b = {c->x1 + by, c->y1 + by, c->x2 + by, c->y2 + by, 0, index, -1};
    b.area = (b.x2 - b.x1) * (b.y2 - b.y1);
    return b;
}

static inline float larger(float a, float b)
{
    return a < b ? b : a; /* as std::max, NaN included */
}

static inline float smaller(float a, float b)
{
    return b < a ? b : a;
}

static inline float overlap(const kept_box *a, const kept_box *b)
{
    float w = larger(0, smaller(a->x2, b->x2) - larger(a->x1, b->x1));
    float h = larger(0, smaller(a->y2, b->y2) - larger(a->y1, b->y1));
    float inter = w * h;
    return inter / (a->area + b->area - inter);
}

/* Can moved boxes of different classes touch? Not when all boxes together are narrower than the offset, with room for the
 * rounding of large coordinates. */
static bool classes_touch(const detect_nms *n, const nms_thread *t)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < t->count; i++) {
        const candidate *c = &t->items[i];
        low = smaller(low, smaller(c->x1, c->x2));
        high = larger(high, larger(c->x1, c->x2));
    }
    return !(high - low < CLASS_OFFSET - 1 - 0.01f * (float)n->classes);
}

static int select_boxes(const detect_nms *n, nms_thread *t)
{
    bool one_chain = n->p.agnostic || classes_touch(n, t);
    for (int c = 0; c < n->classes; c++) t->chain[c] = -1;
    int count = 0;
    for (size_t i = 0; i < t->count && count < n->p.most; i++) {
        kept_box box = moved(n, t, t->order[i]);
        int *chain = &t->chain[one_chain ? 0 : t->items[box.candidate].class], other = *chain;
        while (other >= 0 && !((double)overlap(&t->kept[other], &box) > n->p.max_iou)) other = t->kept[other].next;
        if (other >= 0) continue;
        box.next = *chain;
        t->kept[count] = box;
        *chain = count++;
    }
    return count;
}

/* ---- merging ---- */

/* The mean of all candidates that overlap a kept one, weighed by score, into `out`. Returns how many they are. */
static size_t merge(const detect_nms *n, const nms_thread *t, const kept_box *kept, float out[4])
{
    double sum[4] = {0}, weights = 0;
    size_t overlapping = 0;
    for (size_t i = 0; i < t->count; i++) {
        const candidate *c = &t->items[i];
        kept_box box = moved(n, t, (uint32_t)i);
        if (!(overlap(kept, &box) > (float)n->p.max_iou)) continue; /* torch compares this one in float32 */
        double weight = (double)c->score;
        sum[0] += weight * (double)c->x1;
        sum[1] += weight * (double)c->y1;
        sum[2] += weight * (double)c->x2;
        sum[3] += weight * (double)c->y2;
        weights += weight;
        overlapping++;
    }
    for (int k = 0; k < 4; k++) out[k] = (float)(sum[k] / weights);
    return overlapping;
}

static int write_boxes(const detect_nms *n, const nms_thread *t, int kept, float *out)
{
    bool merging = n->p.merge && t->count >= MERGE_LEAST && t->count <= MERGE_MOST;
    int count = 0;
    for (int i = 0; i < kept; i++) {
        const candidate *c = &t->items[t->kept[i].candidate];
        float *box = out + (size_t)count * NMS_BOX;
        memcpy(box, (float[NMS_BOX]){c->x1, c->y1, c->x2, c->y2, c->score, (float)c->class}, NMS_BOX * sizeof *box);
        if (merging && merge(n, t, &t->kept[i], box) < 2) continue; /* a box that no other confirms is dropped */
        count++;
    }
    memset(out + (size_t)count * NMS_BOX, 0, (size_t)(n->p.most - count) * NMS_BOX * sizeof *out);
    return count;
}

/* ---- a run ---- */

static void thin_images(int index, int threads, void *state)
{
    detect_nms *n = state;
    nms_thread *t = &n->thread[index];
    t->result = OK;
    for (int image = index; image < n->images && t->result == OK; image += threads) {
        t->result = gather(n, t, image);
        if (t->result == OK) t->result = sort_by_score(t);
        if (t->result != OK) break;
        n->counts[image] =
            write_boxes(n, t, select_boxes(n, t), n->boxes + (size_t)image * (size_t)n->p.most * NMS_BOX);
    }
}

static status run(detect_nms *n, int images, float *boxes, int *counts)
{
    n->images = images;
    n->boxes = boxes;
    n->counts = counts;
    parallel_run(n->threads, thin_images, n);
    for (int i = 0; i < n->threads; i++) /* the sentence was said in the thread; here it is said for the caller's */
        if (n->thread[i].result != OK)
            return FAIL(n->thread[i].result, "no memory for the candidates of %d images", images);
    return OK;
}

status detect_nms_run(detect_nms *n, const float *decoded, int images, int64_t rows, float *boxes, int *counts)
{
    n->views = NULL;
    n->decoded = decoded;
    n->rows = rows;
    return run(n, images, boxes, counts);
}

status detect_nms_find(detect_nms *n, const detect_view *views, const detect_parameters *p, float *boxes, int *counts)
{
    if (p->classes != n->classes)
        return FAIL(ERR_ARGUMENT, "predictions of %d classes, suppression of %d", p->classes, n->classes);
    n->views = views;
    n->detect = p;
    return run(n, views[0].images, boxes, counts);
}
