#include "worker/plots/curve_plot.h"

#include <stdio.h>

#include "common/draw/canvas.h"

/* Pixels. */
enum { SIDE = 480, LEFT = 64, TOP = 20, BOTTOM = 54, KEY_WIDTH = 250, KEY_LINE = 22, KEY_SAMPLE = 26 };
enum { TOLD_APART_MOST = 10 };

static const colour grey = {0.62, 0.62, 0.62}, blue = {0.03, 0.19, 0.72};

static void draw_curve(const canvas *c, const frame *f, const float *precision, colour own, double width)
{
    canvas_colour(c, own);
    cairo_set_line_width(c->cairo, width);
    cairo_set_line_join(c->cairo, CAIRO_LINE_JOIN_ROUND);
    for (int i = 0; i < AP_CURVE_POINTS; i++)
        cairo_line_to(c->cairo, frame_x(f, (double)i / (AP_CURVE_POINTS - 1)), frame_y(f, (double)precision[i]));
    cairo_stroke(c->cairo);
}

/* A line of the key, beside the frame. */
static void draw_key(const canvas *c, const frame *f, size_t line, colour own, double width, const char *words)
{
    double x = f->x + f->width + 18, y = f->y + 14 + (double)line * KEY_LINE;
    canvas_colour(c, own);
    cairo_set_line_width(c->cairo, width);
    cairo_move_to(c->cairo, x, y - 4);
    cairo_line_to(c->cairo, x + KEY_SAMPLE, y - 4);
    cairo_stroke(c->cairo);
    canvas_colour(c, colour_ink);
    canvas_text(c, x + KEY_SAMPLE + 8, y, 13, KEY_WIDTH - KEY_SAMPLE - 34, ALIGN_LEFT, words);
}

static void draw_classes(const canvas *c, const frame *f, const ap_summary *s, char *const *names, int classes)
{
    bool apart = s->table.count <= TOLD_APART_MOST;
    char words[256];
    for (size_t i = 0; i < s->table.count; i++) {
        const ap_class *row = &s->table.rows[i];
        colour own = apart ? colour_numbered(row->class) : grey;
        draw_curve(c, f, row->curve, own, 1.5);
        snprintf(words, sizeof words, "%.200s %.3f", row->class < classes ? names[row->class] : "?", row->ap[0]);
        if (apart) draw_key(c, f, i + 1, own, 1.5, words);
    }
    if (!apart) {
        snprintf(words, sizeof words, "each of %zu classes", s->table.count);
        draw_key(c, f, 1, grey, 1.5, words);
    }
}

static void draw_mean(const canvas *c, const frame *f, const ap_summary *s)
{
    float mean[AP_CURVE_POINTS] = {0};
    char words[64];
    for (size_t i = 0; i < s->table.count; i++)
        for (int k = 0; k < AP_CURVE_POINTS; k++) mean[k] += s->table.rows[i].curve[k] / (float)s->table.count;
    draw_curve(c, f, mean, blue, 3);
    snprintf(words, sizeof words, "all classes %.3f mAP@0.5", s->map50);
    draw_key(c, f, 0, blue, 3, words);
}

status plot_precision_recall(const ap_summary *s, char *const *names, int classes, const char *path)
{
    canvas c;
    frame f = {.x = LEFT, .y = TOP, .width = SIDE, .height = SIDE};
    axis_between(&f.across, 0, 1, 6);
    axis_between(&f.up, 0, 1, 6);
    status result = canvas_create(&c, LEFT + SIDE + KEY_WIDTH, TOP + SIDE + BOTTOM);
    if (result == OK) {
        frame_draw(&c, &f, FRAME_LABELS_BELOW | FRAME_LABELS_LEFT, LEFT - 24);
        draw_classes(&c, &f, s, names, classes);
        draw_mean(&c, &f, s);
        canvas_colour(&c, colour_ink);
        canvas_text(&c, f.x + f.width / 2, f.y + f.height + 38, 14, f.width, ALIGN_CENTRE, "recall");
        canvas_text_up(&c, 20, f.y + f.height / 2, 14, f.height, ALIGN_CENTRE, "precision");
        result = canvas_write_png(&c, path);
    }
    canvas_free(&c);
    return result;
}
