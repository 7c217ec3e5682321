#include "worker/plots/labels_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/draw/canvas.h"
#include "worker/plots/density.h"

/* Pixels. Frames are whole numbers of bins. */
enum {
    BIN = 4,
    MARGIN = 70, /* left of each frame */
    TOP = 34,    /* above each */
    BELOW = 48,
    SIDE = 400,      /* of labels.png's frames */
    NAMES_ROOM = 92, /* below the classes' bars when their names stand upright */
    NAME_SIZE = 11,
    NAME_LINE = 13, /* the least that a name needs */
    BOXES_MOST = 1000,
    PART_SIDE = 220, /* of the correlogram's */
    PART_GAP = 16,
    TICKS = 6,
};
enum { COLUMN = sizeof(label) / sizeof(float) };

static status write_page(canvas *c, const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    status s = path ? canvas_write_png(c, path) : FAIL(ERR_MEMORY, "out of memory for %s", name);
    free(path);
    return s;
}

static void name_axes(const canvas *c, const frame *f, const char *across, const char *up)
{
    canvas_colour(c, colour_ink);
    if (across) canvas_text(c, f->x + f->width / 2, f->y + f->height + 34, 13, f->width, ALIGN_CENTRE, across);
    if (up) canvas_text_up(c, f->x - 46, f->y + f->height / 2, 13, f->height, ALIGN_CENTRE, up);
}

static void name_frame(const canvas *c, const frame *f, const char *words)
{
    canvas_colour(c, colour_ink);
    canvas_text(c, f->x + f->width / 2, f->y - 10, 14, f->width, ALIGN_CENTRE, words);
}

/* ---- the four of a label ---- */

enum { QUANTITIES = 4 };
static const char *const quantity_names[QUANTITIES] = {"x", "y", "width", "height"};

static const float *quantity(const dataset *d, int which)
{
    const float *const first[QUANTITIES] = {&d->labels->x, &d->labels->y, &d->labels->w, &d->labels->h};
    return first[which];
}

/* Centres have the whole picture for a scale, sizes what is in use. */
static void make_scale(const dataset *d, int which, axis *a)
{
    const float *values = quantity(d, which);
    double most = 0;
    for (size_t i = 0; i < d->label_count; i++) most = fmax(most, (double)values[i * COLUMN]);
    if (which < 2 || most > 0.9) most = 1;
    axis_between(a, 0, most > 0 ? most * (most < 1 ? 1.06 : 1) : 1, TICKS);
}

/* ---- labels.png ---- */

/* Names below the bars: level where they have room, upright where each has a line's, else numbers alone. */
static bool names_stand(const canvas *c, char *const *names, int classes)
{
    double slot = (double)SIDE / classes, widest = 0;
    for (int i = 0; i < classes; i++) widest = fmax(widest, canvas_text_width(c, NAME_SIZE, names[i]));
    return slot >= NAME_LINE && widest > slot - 6;
}

static void name_bars(const canvas *c, const frame *f, char *const *names, int classes)
{
    double slot = f->width / classes, bottom = f->y + f->height;
    bool upright = names_stand(c, names, classes);
    canvas_colour(c, colour_ink);
    for (int i = 0; i < classes && slot >= NAME_LINE; i++) {
        double middle = f->x + (i + 0.5) * slot;
        if (upright) canvas_text_up(c, middle + 4, bottom + 7, NAME_SIZE, NAMES_ROOM - 16, ALIGN_RIGHT, names[i]);
        else canvas_text(c, middle, bottom + 16, NAME_SIZE, slot - 6, ALIGN_CENTRE, names[i]);
    }
    name_axes(c, f, slot >= NAME_LINE ? NULL : "classes", "labels");
}

static status draw_classes(const canvas *c, const dataset *d, char *const *names, frame *f)
{
    double *counts;
    TRY(array_new(&counts, (size_t)d->classes + 1)); /* the last stays 0: bars stand on the ground */
    for (size_t i = 0; i < d->label_count; i++) counts[(size_t)d->labels[i].cls]++;
    double slot = f->width / d->classes;
    axis_between(&f->across, 0, d->classes, AXIS_TICKS_MOST);
    axis_make(&f->up, counts, (size_t)d->classes + 1, 6, false);
    axis_between(&f->up, 0, f->up.high, 6);
    if (slot >= NAME_LINE) f->across.count = 0; /* names stand there instead */
    frame_draw(c, f, FRAME_LABELS_BELOW | FRAME_LABELS_LEFT, MARGIN - 20);
    for (int i = 0; i < d->classes; i++) {
        double top = frame_y(f, counts[i]);
        char number[32];
        canvas_colour(c, colour_numbered(i));
        canvas_fill(c, f->x + (i + 0.1) * slot, top, 0.8 * slot, f->y + f->height - top);
        snprintf(number, sizeof number, "%.0f", counts[i]);
        canvas_colour(c, colour_ink);
        if (slot >= 26) canvas_text(c, f->x + (i + 0.5) * slot, top - 4, 10, slot, ALIGN_CENTRE, number);
    }
    free(counts);
    name_bars(c, f, names, d->classes);
    name_frame(c, f, "labels of each class");
    return OK;
}

static void draw_boxes(const canvas *c, const dataset *d, const frame *f)
{
    size_t count = d->label_count < BOXES_MOST ? d->label_count : BOXES_MOST;
    cairo_set_line_width(c->cairo, 1);
    for (size_t i = 0; i < count; i++) {
        const label *l = &d->labels[i];
        double width = (double)l->w * f->width, height = (double)l->h * f->height;
        colour own = colour_numbered((int)l->cls);
        cairo_set_source_rgba(c->cairo, own.r, own.g, own.b, 0.25);
        cairo_rectangle(c->cairo, f->x + (f->width - width) / 2, f->y + (f->height - height) / 2, width, height);
        cairo_stroke(c->cairo);
    }
    frame_border(c, f);
    char words[64];
    snprintf(words, sizeof words, count < d->label_count ? "the first %zu boxes" : "all %zu boxes", count);
    name_frame(c, f, words);
}

static status draw_pair(const canvas *c, const dataset *d, frame *f, int across, int up)
{
    make_scale(d, across, &f->across);
    make_scale(d, up, &f->up);
    frame_draw(c, f, FRAME_LABELS_BELOW | FRAME_LABELS_LEFT, MARGIN - 26);
    TRY(density_map(c, f, BIN, quantity(d, across), quantity(d, up), d->label_count, COLUMN));
    frame_border(c, f);
    name_axes(c, f, quantity_names[across], quantity_names[up]);
    return OK;
}

static status draw_labels(const canvas *c, const dataset *d, char *const *names)
{
    enum { RIGHT = 2 * MARGIN + SIDE };
    frame classes = {.x = MARGIN, .y = TOP, .width = SIDE, .height = SIDE}, boxes = classes, centres = classes, sizes;
    boxes.x = RIGHT;
    centres.y = c->height - SIDE - BELOW;
    sizes = centres;
    sizes.x = RIGHT;
    TRY(draw_classes(c, d, names, &classes));
    draw_boxes(c, d, &boxes);
    TRY(draw_pair(c, d, &centres, 0, 1));
    return draw_pair(c, d, &sizes, 2, 3);
}

/* ---- labels_correlogram.png ---- */

static status draw_part(const canvas *c, const dataset *d, int row, int column)
{
    enum { STEP = PART_SIDE + PART_GAP };
    frame f = {.x = MARGIN + column * STEP, .y = TOP / 2 + row * STEP, .width = PART_SIDE, .height = PART_SIDE};
    bool last = row == QUANTITIES - 1, first = column == 0, alone = row == column;
    int labels = (last ? FRAME_LABELS_BELOW : 0) | (first && !alone ? FRAME_LABELS_LEFT : 0);
    make_scale(d, column, &f.across);
    make_scale(d, row, &f.up);
    if (alone) f.up.count = 0; /* how many of them says little: it depends on the bins */
    frame_draw(c, &f, labels, MARGIN - 26);
    if (alone) TRY(density_bars(c, &f, BIN, quantity(d, column), d->label_count, COLUMN));
    else TRY(density_map(c, &f, BIN, quantity(d, column), quantity(d, row), d->label_count, COLUMN));
    frame_border(c, &f);
    name_axes(c, &f, last ? quantity_names[column] : NULL, first ? quantity_names[row] : NULL);
    return OK;
}

static status draw_correlogram(const canvas *c, const dataset *d)
{
    for (int row = 0; row < QUANTITIES; row++)
        for (int column = 0; column <= row; column++) TRY(draw_part(c, d, row, column));
    return OK;
}

/* ---- both ---- */

static status plot_all(const dataset *d, char *const *names, const char *folder, canvas *c)
{
    enum { PARTS = QUANTITIES * (PART_SIDE + PART_GAP), RIGHT_MARGIN = 20 };
    const int width = 2 * (MARGIN + SIDE) + RIGHT_MARGIN, height = 2 * (TOP + SIDE + BELOW);
    TRY(canvas_create(c, width, height));
    if (names_stand(c, names, d->classes)) {
        canvas_free(c);
        TRY(canvas_create(c, width, height + NAMES_ROOM - BELOW));
    }
    TRY(draw_labels(c, d, names));
    TRY(write_page(c, folder, "labels.png"));
    canvas_free(c);
    TRY(canvas_create(c, MARGIN + PARTS + 4, TOP / 2 + PARTS + BELOW - PART_GAP + 4));
    TRY(draw_correlogram(c, d));
    return write_page(c, folder, "labels_correlogram.png");
}

status plot_labels(const dataset *d, char *const *names, const char *folder)
{
    canvas c = {0};
    if (!d->label_count) return OK;
    status s = plot_all(d, names, folder, &c);
    canvas_free(&c);
    return s;
}
