#include "worker/train/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/log.h"
#include "worker/metrics/boxes.h"
#include "worker/plots/batch_picture.h"
#include "worker/plots/curve_plot.h"
#include "worker/plots/labels_plot.h"
#include "worker/plots/results_plot.h"

enum { TRAIN_PICTURES = 3, NAME_ROOM = 64 };
static const double shown_score = 0.3, draw_every_s = 30;

struct journal {
    journal_options o;
    events *events; /* NULL: none are written */
    bool plots;
    bool draws;     /* the validation that runs is drawn */
    bool has_drawn; /* an earlier one was, */
    double drawn;   /* and when the last one began */
    int seen;       /* batches of the one that runs */
};

/* ---- events ---- */

static void give_up_events(journal *j)
{
    log_warning("%s; going on without TensorBoard", status_message());
    events_close(&j->events);
}

static void flush_events(journal *j)
{
    if (j->events && events_flush(j->events) != OK) give_up_events(j);
}

static status add_classes(journal *j)
{
    const dataset *d = j->o.train;
    double *classes;
    TRY(array_new(&classes, d->label_count));
    for (size_t i = 0; i < d->label_count; i++) classes[i] = (double)d->labels[i].cls;
    events_histogram(j->events, "classes", 0, classes, d->label_count);
    free(classes);
    return events_flush(j->events);
}

static void start_events(journal *j)
{
    status s = events_open(j->o.folder, &j->events);
    if (s == OK && j->o.train) s = add_classes(j);
    if (s != OK) give_up_events(j);
}

/* ---- plots ---- */

/* After a status that is not OK there are no more. */
static void plotted(journal *j, status s)
{
    if (s == OK) return;
    log_warning("%s; going on without plots", status_message());
    j->plots = false;
}

static status path_in(const journal *j, const char *name, char **path)
{
    *path = path_join(j->o.folder, name);
    return *path ? OK : FAIL(ERR_MEMORY, "out of memory for %s", name);
}

/* ---- pictures of batches ---- */

/* The labels of a batch as boxes. The caller frees. */
static status boxes_of_labels(const batch *b, picture_box **out, size_t *count)
{
    *count = (size_t)b->target_count;
    TRY(array_new(out, *count));
    for (int i = 0; i < b->target_count; i++) {
        const float *row = b->targets + i * LOADER_TARGET_COLUMNS;
        float corners[4], width = (float)b->width, height = (float)b->height;
        boxes_to_corners(row + 2, corners);
        (*out)[i] = (picture_box){.image = (int)row[0], .cls = (int)row[1], .score = -1};
        (*out)[i].x1 = corners[BOX_X1] * width;
        (*out)[i].y1 = corners[BOX_Y1] * height;
        (*out)[i].x2 = corners[BOX_X2] * width;
        (*out)[i].y2 = corners[BOX_Y2] * height;
    }
    return OK;
}

/* The boxes found in a batch that are good enough to be shown, the worst first: the best lie on top. The caller frees. */
static status boxes_found(const validated_batch *v, picture_box **out, size_t *count)
{
    *count = 0;
    TRY(array_new(out, (size_t)v->batch->count * (size_t)v->most));
    for (int image = 0; image < v->batch->count; image++)
        for (int i = v->counts[image]; i-- > 0;) {
            const float *box = v->boxes + ((size_t)image * (size_t)v->most + (size_t)i) * NMS_BOX;
            if (!((double)box[4] > shown_score)) continue;
            (*out)[(*count)++] = (picture_box){image, box[0], box[1], box[2], box[3], (int)box[5], box[4]};
        }
    return OK;
}

/* Draw a batch into a file of the folder. With `tag_step` >= 0 TensorBoard gets it too, under the file's path. */
static status draw_batch(journal *j, const batch *b, const dataset *d, const picture_box *boxes, size_t count,
                         const char *name, int64_t tag_step)
{
    const char *files[BATCH_PICTURES_MOST];
    batch_picture picture = {.pixels = b->images, .images = b->count, .height = b->height, .width = b->width};
    picture.boxes = boxes;
    picture.box_count = count;
    picture.names = j->o.names;
    picture.classes = j->o.classes;
    for (int i = 0; i < b->count && i < BATCH_PICTURES_MOST; i++) files[i] = path_name(d->images[b->index[i]].path);
    picture.files = files;
    text jpeg = {0};
    char *path = NULL;
    int width, height;
    status s = path_in(j, name, &path);
    if (s == OK) s = batch_picture_draw(&picture, &jpeg, &width, &height);
    if (s == OK) s = fs_write(path, jpeg.bytes, jpeg.length);
    if (s == OK && tag_step >= 0 && j->events) {
        events_image(j->events, path, tag_step, width, height, jpeg.bytes, jpeg.length);
        flush_events(j);
    }
    free(path);
    text_free(&jpeg);
    return s;
}

static status draw_labels(journal *j, const batch *b, const dataset *d, const char *name, int64_t tag_step)
{
    picture_box *boxes;
    size_t count;
    TRY(boxes_of_labels(b, &boxes, &count));
    status s = draw_batch(j, b, d, boxes, count, name, tag_step);
    free(boxes);
    return s;
}

static status draw_found(journal *j, const validated_batch *v, const char *name)
{
    picture_box *boxes;
    size_t count;
    TRY(boxes_found(v, &boxes, &count));
    status s = draw_batch(j, v->batch, j->o.validation, boxes, count, name, -1);
    free(boxes);
    return s;
}

/* ---- the moments of a training ---- */

journal *journal_start(const journal_options *o)
{
    journal *j;
    if ((!o->tensorboard && !o->plots) || array_new(&j, 1) != OK) return NULL;
    j->o = *o;
    j->plots = o->plots;
    if (o->tensorboard) start_events(j);
    if (o->plots && o->train) plotted(j, plot_labels(o->train, o->names, o->folder));
    return j;
}

void journal_end(journal **out)
{
    journal *j = *out;
    if (!j) return;
    events_close(&j->events);
    free(j);
    *out = NULL;
}

void journal_batch(journal *j, const batch *b, int64_t iteration, int64_t epoch)
{
    char name[NAME_ROOM];
    if (!j || !j->plots || iteration >= TRAIN_PICTURES) return;
    snprintf(name, sizeof name, "train_batch%d.jpg", (int)iteration);
    plotted(j, draw_labels(j, b, j->o.train, name, epoch));
}

void journal_validating(journal *j, double now, bool last)
{
    if (!j) return;
    j->draws = j->plots && (last || !j->has_drawn || now - j->drawn > draw_every_s);
    if (j->draws) j->drawn = now;
    j->seen = 0;
}

status journal_seen(void *state, const validated_batch *v)
{
    journal *j = state;
    if (!j || !j->draws || j->seen++) return OK;
    status s = !j->has_drawn ? draw_labels(j, v->batch, j->o.validation, "test_batch0_gt.jpg", -1) : OK;
    if (s == OK) s = draw_found(j, v, "test_batch0_pred.jpg");
    plotted(j, s);
    return OK;
}

void journal_validated(journal *j, const ap_summary *summary)
{
    char *path = NULL;
    if (!j || !j->draws || !j->plots) return;
    status s = path_in(j, "precision_recall_curve.png", &path);
    if (s == OK) s = plot_precision_recall(summary, j->o.names, j->o.classes, path);
    plotted(j, s);
    free(path);
    j->has_drawn = true;
}

void journal_epoch(journal *j, const results_row *row, const double lr[UPDATE_GROUPS])
{
    if (!j || !j->events) return;
    events_epoch(j->events, row, lr);
    flush_events(j);
}

void journal_results(journal *j, const char *results_path)
{
    results_row *rows = NULL;
    size_t count;
    char *path = NULL;
    if (!j || !j->plots) return;
    status s = path_in(j, "results.png", &path);
    if (s == OK) s = results_read(results_path, &rows, &count);
    if (s == OK) s = plot_results(rows, count, path);
    plotted(j, s);
    free(rows);
    free(path);
}
