#include "coordinator/report.h"

#include <cairo/cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/fs.h"
#include "coordinator/axis.h"

/* ---- evolve.txt and hyp_evolved.yaml ---- */

static status write_text(const char *folder, const char *name, const text *contents)
{
    char *path = path_join(folder, name);
    if (!path) return FAIL(ERR_MEMORY, "out of memory for %s", name);
    status s = fs_write(path, contents->bytes, contents->length);
    free(path);
    return s;
}

status report_write(const population *p, const char *folder)
{
    if (!p->count) return OK;
    text out = {0};
    status s = population_evolve_txt(p, &out);
    if (s == OK) s = write_text(folder, "evolve.txt", &out);
    text_clear(&out);
    if (s == OK) s = population_hyp_evolved(p, &out);
    if (s == OK) s = write_text(folder, "hyp_evolved.yaml", &out);
    text_free(&out);
    return s;
}

/* ---- evolve.png ---- */

/* Pixels. A panel's frame lies within these margins; the left column has room for its labels besides. */
enum {
    PANEL_WIDTH = 270,
    PANEL_HEIGHT = 230,
    LEFT_LABELS = 56,
    HEADER = 56,
    FRAME_LEFT = 14,
    FRAME_RIGHT = 14,
    FRAME_TOP = 28,
    FRAME_BOTTOM = 30,
    X_TICKS = 5,
    Y_TICKS = 6,
};

typedef struct colour {
    double r, g, b;
} colour;
static const colour early = {0.62, 0.78, 0.91}, late = {0.03, 0.19, 0.42}, best_colour = {0.84, 0.19, 0.12};
static const colour ink = {0.15, 0.15, 0.15}, pale = {0.88, 0.88, 0.88};

typedef struct plot {
    cairo_t *cairo;
    const population *p;
    double *fitness; /* of every member */
    double *values;  /* of every member, of the panel's hyperparameter */
    size_t best;
    axis fitness_axis;
} plot;

typedef struct box {
    double x, y, width, height;
} box;

static void set_colour(cairo_t *c, colour colour)
{
    cairo_set_source_rgb(c, colour.r, colour.g, colour.b);
}

typedef enum align { ALIGN_LEFT, ALIGN_CENTRE, ALIGN_RIGHT } align;

/* Text on a baseline, in a smaller size where it would be wider than `room`. */
static void draw_text(cairo_t *c, double x, double y, double size, double room, align align, const char *words)
{
    cairo_text_extents_t extents;
    cairo_set_font_size(c, size);
    cairo_text_extents(c, words, &extents);
    if (extents.x_advance > room) {
        cairo_set_font_size(c, size * room / extents.x_advance);
        cairo_text_extents(c, words, &extents);
    }
    double shift = align == ALIGN_LEFT ? 0 : align == ALIGN_CENTRE ? 0.5 : 1;
    cairo_move_to(c, x - shift * extents.x_advance, y);
    cairo_show_text(c, words);
}

static void draw_line(cairo_t *c, double x1, double y1, double x2, double y2)
{
    cairo_move_to(c, floor(x1) + 0.5, floor(y1) + 0.5); /* the middle of a pixel: a sharp line */
    cairo_line_to(c, floor(x2) + 0.5, floor(y2) + 0.5);
    cairo_stroke(c);
}

/* A circle's path, apart from wherever text has left off. */
static void add_circle(cairo_t *c, double x, double y, double radius)
{
    cairo_new_path(c);
    cairo_arc(c, x, y, radius, 0, 2 * M_PI);
}

static void draw_best_mark(cairo_t *c, double x, double y)
{
    set_colour(c, best_colour);
    cairo_set_line_width(c, 2);
    add_circle(c, x, y, 7);
    cairo_stroke(c);
}

static double x_of(const box *frame, const axis *a, double value)
{
    return frame->x + axis_place(a, value) * frame->width;
}

static double y_of(const box *frame, const axis *a, double value)
{
    return frame->y + (1 - axis_place(a, value)) * frame->height;
}

static void draw_grid(cairo_t *c, const box *frame, const axis *x, const axis *y, bool label_y)
{
    char label[AXIS_LABEL_ROOM];
    cairo_set_line_width(c, 1);
    for (size_t i = 0; i < x->count; i++) {
        double at = x_of(frame, x, x->ticks[i]);
        set_colour(c, pale);
        draw_line(c, at, frame->y, at, frame->y + frame->height);
        set_colour(c, ink);
        draw_line(c, at, frame->y + frame->height, at, frame->y + frame->height + 3);
        axis_label(x, i, label);
        draw_text(c, at, frame->y + frame->height + 15, 10, frame->width / X_TICKS, ALIGN_CENTRE, label);
    }
    for (size_t i = 0; i < y->count; i++) {
        double at = y_of(frame, y, y->ticks[i]);
        set_colour(c, pale);
        draw_line(c, frame->x, at, frame->x + frame->width, at);
        set_colour(c, ink);
        draw_line(c, frame->x - 3, at, frame->x, at);
        axis_label(y, i, label);
        if (label_y) draw_text(c, frame->x - 6, at + 3.5, 10, LEFT_LABELS - 20, ALIGN_RIGHT, label);
    }
    set_colour(c, ink);
    cairo_rectangle(c, floor(frame->x) + 0.5, floor(frame->y) + 0.5, frame->width, frame->height);
    cairo_stroke(c);
}

/* `part` of the way from the first candidate to the last. */
static colour shade(double part)
{
    return (colour){early.r + part * (late.r - early.r), early.g + part * (late.g - early.g),
                    early.b + part * (late.b - early.b)};
}

static void draw_points(const plot *q, const box *frame, const axis *x)
{
    cairo_t *c = q->cairo;
    double radius = q->p->count > 150 ? 2.5 : 3.5;
    for (size_t i = 0; i < q->p->count; i++) {
        colour point = shade(q->p->count > 1 ? (double)i / (double)(q->p->count - 1) : 1);
        cairo_set_source_rgba(c, point.r, point.g, point.b, 0.8);
        add_circle(c, x_of(frame, x, q->values[i]), y_of(frame, &q->fitness_axis, q->fitness[i]), radius);
        cairo_fill(c);
    }
    draw_best_mark(c, x_of(frame, x, q->values[q->best]), y_of(frame, &q->fitness_axis, q->fitness[q->best]));
}

static void draw_panel(const plot *q, size_t hyp, size_t column, size_t row)
{
    const box frame = {LEFT_LABELS + (double)column * PANEL_WIDTH + FRAME_LEFT,
                       HEADER + (double)row * PANEL_HEIGHT + FRAME_TOP, PANEL_WIDTH - FRAME_LEFT - FRAME_RIGHT,
                       PANEL_HEIGHT - FRAME_TOP - FRAME_BOTTOM};
    cairo_t *c = q->cairo;
    axis x;
    for (size_t i = 0; i < q->p->count; i++) q->values[i] = q->p->members[i].hyps[hyp];
    axis_make(&x, q->values, q->p->count, X_TICKS, q->p->space->rows[hyp].low > 0);
    draw_grid(c, &frame, &x, &q->fitness_axis, column == 0);
    draw_points(q, &frame, &x);
    char title[HYP_KEY_ROOM + 32];
    snprintf(title, sizeof title, "%s = %.3g", q->p->space->rows[hyp].key, q->values[q->best]);
    set_colour(c, ink);
    draw_text(c, frame.x + frame.width / 2, frame.y - 8, 13, frame.width, ALIGN_CENTRE, title);
    if (column) return;
    cairo_save(c);
    cairo_translate(c, 16, frame.y + frame.height / 2);
    cairo_rotate(c, -M_PI / 2);
    draw_text(c, 0, 0, 11, frame.height, ALIGN_CENTRE, "fitness");
    cairo_restore(c);
}

/* What the picture shows, and the key to its colours at the right. */
static void draw_header(const plot *q, double width)
{
    enum { KEY_WIDTH = 90, KEY_HEIGHT = 10 };
    cairo_t *c = q->cairo;
    char words[128];
    snprintf(words, sizeof words, "%zu candidate%s, best fitness %.4g", q->p->count, q->p->count == 1 ? "" : "s",
             q->fitness[q->best]);
    set_colour(c, ink);
    draw_text(c, LEFT_LABELS + FRAME_LEFT, 34, 18, width / 2, ALIGN_LEFT, words);
    double x = width - FRAME_RIGHT - 220, y = 24;
    for (int i = 0; i < KEY_WIDTH; i++) {
        set_colour(c, shade((double)i / KEY_WIDTH));
        cairo_rectangle(c, x + i, y, 1.5, KEY_HEIGHT);
        cairo_fill(c);
    }
    set_colour(c, ink);
    draw_text(c, x - 6, y + 9, 11, 60, ALIGN_RIGHT, "first");
    draw_text(c, x + KEY_WIDTH + 6, y + 9, 11, 60, ALIGN_LEFT, "last");
    draw_text(c, x + KEY_WIDTH + 74, y + 9, 11, 60, ALIGN_LEFT, "best");
    draw_best_mark(c, x + KEY_WIDTH + 61, y + 5);
}

static void draw_all(plot *q, size_t columns, double width)
{
    cairo_t *c = q->cairo;
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    axis_make(&q->fitness_axis, q->fitness, q->p->count, Y_TICKS, false);
    draw_header(q, width);
    for (size_t hyp = 0; hyp < q->p->space->count; hyp++) draw_panel(q, hyp, hyp % columns, hyp / columns);
}

/* Cairo's fontconfig keeps its caches until the process ends; LeakSanitizer asks here what not to report. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n";
}

static cairo_status_t collect_bytes(void *out, const unsigned char *bytes, unsigned count)
{
    text_add_bytes(out, bytes, count);
    return ((text *)out)->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static status draw_picture(plot *q, text *png)
{
    size_t hyps = q->p->space->count, columns = 1;
    while (columns * columns < hyps) columns++;
    int width = LEFT_LABELS + (int)columns * PANEL_WIDTH;
    int height = HEADER + (int)((hyps + columns - 1) / columns) * PANEL_HEIGHT;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    q->cairo = cairo_create(surface);
    draw_all(q, columns, width);
    cairo_status_t wrong = cairo_status(q->cairo);
    if (!wrong) wrong = cairo_surface_write_to_png_stream(surface, collect_bytes, png);
    cairo_destroy(q->cairo);
    cairo_surface_destroy(surface);
    if (!wrong) return OK;
    return FAIL(wrong == CAIRO_STATUS_NO_MEMORY ? ERR_MEMORY : ERR_IO, "cannot draw evolve.png: %s",
                cairo_status_to_string(wrong));
}

status report_plot(const population *p, const char *path)
{
    if (!p->count) return OK;
    plot q = {.p = p};
    TRY(array_new(&q.fitness, 2 * p->count));
    q.values = q.fitness + p->count;
    for (size_t i = 0; i < p->count; i++) {
        q.fitness[i] = member_fitness(p, &p->members[i]);
        if (q.fitness[i] > q.fitness[q.best]) q.best = i;
    }
    text png = {0};
    status s = draw_picture(&q, &png);
    if (s == OK) s = fs_write(path, png.bytes, png.length);
    text_free(&png);
    free(q.fitness);
    return s;
}
