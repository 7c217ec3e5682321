#include "worker/plots/results_plot.h"

#include <math.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/draw/canvas.h"

/* Pixels. */
enum { COLUMNS = 5, PANEL_WIDTH = 290, PANEL_HEIGHT = 270, LEFT = 52, RIGHT = 8, TOP = 34, BOTTOM = 46, TICKS = 5 };
enum { DOTS_MOST = 60 }; /* with more epochs a line is enough */

typedef struct panel {
    const char *title;
    bool is_loss;
    int loss, metric; /* one of them; -1: the other */
} panel;

static const panel panels[] = {
    {"GIoU", true, 0, -1},           {"Objectness", true, 1, -1},
    {"Classification", true, 2, -1}, {"Precision", false, -1, 0},
    {"Recall", false, -1, 1},        {"val GIoU", true, -1, 4},
    {"val Objectness", true, -1, 5}, {"val Classification", true, -1, 6},
    {"mAP@0.5", false, -1, 2},       {"mAP@0.5:0.95", false, -1, 3},
};
enum { PANELS = sizeof panels / sizeof *panels };

typedef struct curve {
    double *epochs, *values; /* of the epochs that have a value */
    size_t count;
} curve;

/* NaN: there is nothing to show. */
static double value_of(const panel *p, const results_row *row)
{
    double value = p->loss >= 0 ? (double)row->losses[p->loss] : row->metrics[p->metric];
    return !isfinite(value) || (p->is_loss && value == 0) ? NAN : value;
}

static void collect(const panel *p, const results_row *rows, size_t count, curve *out)
{
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        double value = value_of(p, &rows[i]);
        if (isnan(value)) continue;
        out->epochs[out->count] = (double)rows[i].epoch;
        out->values[out->count++] = value;
    }
}

static void draw_curve(const canvas *c, const frame *f, const panel *p, const results_row *rows, size_t count)
{
    bool goes_on = false;
    canvas_colour(c, colour_numbered(0));
    cairo_set_line_width(c->cairo, 1.5);
    cairo_set_line_join(c->cairo, CAIRO_LINE_JOIN_ROUND);
    for (size_t i = 0; i < count; i++) {
        double value = value_of(p, &rows[i]), x = frame_x(f, (double)rows[i].epoch);
        if (isnan(value)) goes_on = false;
        else if (goes_on) cairo_line_to(c->cairo, x, frame_y(f, value));
        else {
            cairo_move_to(c->cairo, x, frame_y(f, value));
            goes_on = true;
        }
    }
    cairo_stroke(c->cairo);
}

static void draw_panel(const canvas *c, size_t number, const results_row *rows, size_t count, curve *values)
{
    const panel *p = &panels[number];
    frame f = {.x = (double)(number % COLUMNS) * PANEL_WIDTH + LEFT,
               .y = (double)(number / COLUMNS) * PANEL_HEIGHT + TOP};
    f.width = PANEL_WIDTH - LEFT - RIGHT;
    f.height = PANEL_HEIGHT - TOP - BOTTOM;
    collect(p, rows, count, values);
    double ends[] = {(double)rows[0].epoch, (double)rows[count - 1].epoch};
    axis_make(&f.across, ends, 2, TICKS, false);
    if (values->count) axis_make(&f.up, values->values, values->count, TICKS, false);
    else axis_between(&f.up, 0, 1, TICKS);
    frame_draw(c, &f, FRAME_LABELS_BELOW | FRAME_LABELS_LEFT, LEFT - 4);
    draw_curve(c, &f, p, rows, count);
    for (size_t i = 0; i < values->count && (count <= DOTS_MOST || values->count == 1); i++)
        canvas_dot(c, frame_x(&f, values->epochs[i]), frame_y(&f, values->values[i]), 2.5);
    canvas_colour(c, colour_ink);
    canvas_text(c, f.x + f.width / 2, f.y - 9, 14, f.width, ALIGN_CENTRE, p->title);
    if (number / COLUMNS) canvas_text(c, f.x + f.width / 2, f.y + f.height + 34, 11, f.width, ALIGN_CENTRE, "epoch");
    if (!values->count) canvas_text(c, f.x + f.width / 2, f.y + f.height / 2, 12, f.width, ALIGN_CENTRE, "no value");
}

status plot_results(const results_row *rows, size_t count, const char *path)
{
    curve values = {0};
    canvas c = {0};
    if (!count) return OK;
    status s = array_new(&values.epochs, 2 * count);
    if (s == OK) s = canvas_create(&c, COLUMNS * PANEL_WIDTH, (PANELS / COLUMNS) * PANEL_HEIGHT);
    if (s == OK) {
        values.values = values.epochs + count;
        for (size_t i = 0; i < PANELS; i++) draw_panel(&c, i, rows, count, &values);
        s = canvas_write_png(&c, path);
    }
    canvas_free(&c);
    free(values.epochs);
    return s;
}
