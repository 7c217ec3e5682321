#include "coordinator/report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/draw/canvas.h"
#include "common/fs.h"

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

static const colour early = {0.62, 0.78, 0.91}, late = {0.03, 0.19, 0.42}, best_colour = {0.84, 0.19, 0.12};

typedef struct plot {
    canvas page;
    const population *p;
    double *fitness; /* of every member */
    double *values;  /* of every member, of the panel's hyperparameter */
    bool *hidden;    /* for every member: in this panel a later one covers it */
    size_t best;
    axis fitness_axis;
} plot;

static void draw_best_mark(const canvas *c, double x, double y)
{
    canvas_colour(c, best_colour);
    canvas_ring(c, x, y, 7);
}

/* Of a crowd only the last at each spot is drawn, so that a picture of any number of points takes no longer than one that is full. */
static void hide_covered(plot *q, const frame *f)
{
    enum { CROWD = 5000, SPOT = 2, ACROSS = PANEL_WIDTH / SPOT, UP = PANEL_HEIGHT / SPOT };
    if (q->p->count < CROWD) return;
    bool taken[UP][ACROSS] = {{false}};
    for (size_t i = q->p->count; i-- > 0;) {
        int x = (int)(frame_x(f, q->values[i]) - f->x) / SPOT, y = (int)(frame_y(f, q->fitness[i]) - f->y) / SPOT;
        bool inside = x >= 0 && x < ACROSS && y >= 0 && y < UP;
        q->hidden[i] = inside && taken[y][x];
        if (inside) taken[y][x] = true;
    }
}

static void draw_points(plot *q, const frame *f)
{
    const canvas *c = &q->page;
    double radius = q->p->count > 150 ? 2.5 : 3.5;
    hide_covered(q, f);
    for (size_t i = 0; i < q->p->count; i++) {
        if (q->hidden[i]) continue;
        colour point = colour_between(early, late, q->p->count > 1 ? (double)i / (double)(q->p->count - 1) : 1);
        cairo_set_source_rgba(c->cairo, point.r, point.g, point.b, 0.8);
        canvas_dot(c, frame_x(f, q->values[i]), frame_y(f, q->fitness[i]), radius);
    }
    draw_best_mark(c, frame_x(f, q->values[q->best]), frame_y(f, q->fitness[q->best]));
}

static void draw_panel(plot *q, size_t hyp, size_t column, size_t row)
{
    frame f = {
        .x = LEFT_LABELS + (double)column * PANEL_WIDTH + FRAME_LEFT,
        .y = HEADER + (double)row * PANEL_HEIGHT + FRAME_TOP,
        .width = PANEL_WIDTH - FRAME_LEFT - FRAME_RIGHT,
        .height = PANEL_HEIGHT - FRAME_TOP - FRAME_BOTTOM,
        .up = q->fitness_axis,
    };
    const canvas *c = &q->page;
    for (size_t i = 0; i < q->p->count; i++) q->values[i] = q->p->members[i].hyps[hyp];
    axis_make(&f.across, q->values, q->p->count, X_TICKS, q->p->space->rows[hyp].low > 0);
    frame_draw(c, &f, FRAME_LABELS_BELOW | (column ? 0 : FRAME_LABELS_LEFT), LEFT_LABELS - 14);
    draw_points(q, &f);
    char title[HYP_KEY_ROOM + 32];
    snprintf(title, sizeof title, "%s = %.3g", q->p->space->rows[hyp].key, q->values[q->best]);
    canvas_colour(c, colour_ink);
    canvas_text(c, f.x + f.width / 2, f.y - 8, 13, f.width, ALIGN_CENTRE, title);
    if (!column) canvas_text_up(c, 16, f.y + f.height / 2, 11, f.height, ALIGN_CENTRE, "fitness");
}

/* What the picture shows, and the key to its colours at the right. */
static void draw_header(const plot *q, double width)
{
    enum { KEY_WIDTH = 90, KEY_HEIGHT = 10 };
    const canvas *c = &q->page;
    char words[128];
    snprintf(words, sizeof words, "%zu candidate%s, best fitness %.4g", q->p->count, q->p->count == 1 ? "" : "s",
             q->fitness[q->best]);
    canvas_colour(c, colour_ink);
    canvas_text(c, LEFT_LABELS + FRAME_LEFT, 34, 18, width / 2, ALIGN_LEFT, words);
    double x = width - FRAME_RIGHT - 220, y = 24;
    for (int i = 0; i < KEY_WIDTH; i++) {
        canvas_colour(c, colour_between(early, late, (double)i / KEY_WIDTH));
        canvas_fill(c, x + i, y, 1.5, KEY_HEIGHT);
    }
    canvas_colour(c, colour_ink);
    canvas_text(c, x - 6, y + 9, 11, 60, ALIGN_RIGHT, "first");
    canvas_text(c, x + KEY_WIDTH + 6, y + 9, 11, 60, ALIGN_LEFT, "last");
    canvas_text(c, x + KEY_WIDTH + 74, y + 9, 11, 60, ALIGN_LEFT, "best");
    draw_best_mark(c, x + KEY_WIDTH + 61, y + 5);
}

static status draw_picture(plot *q, const char *path)
{
    size_t hyps = q->p->space->count, columns = 1;
    while (columns * columns < hyps) columns++;
    int width = LEFT_LABELS + (int)columns * PANEL_WIDTH;
    int height = HEADER + (int)((hyps + columns - 1) / columns) * PANEL_HEIGHT;
    axis_make(&q->fitness_axis, q->fitness, q->p->count, Y_TICKS, false);
    status s = canvas_create(&q->page, width, height);
    if (s == OK) {
        draw_header(q, width);
        for (size_t hyp = 0; hyp < hyps; hyp++) draw_panel(q, hyp, hyp % columns, hyp / columns);
        s = canvas_write_png(&q->page, path);
    }
    canvas_free(&q->page);
    return s;
}

static status draw_members(plot *q, const char *path)
{
    for (size_t i = 0; i < q->p->count; i++) {
        q->fitness[i] = member_fitness(q->p, &q->p->members[i]);
        if (q->fitness[i] > q->fitness[q->best]) q->best = i;
    }
    return draw_picture(q, path);
}

status report_plot(const population *p, const char *path)
{
    if (!p->count) return OK;
    plot q = {.p = p};
    TRY(array_new(&q.fitness, 2 * p->count));
    q.values = q.fitness + p->count;
    status s = array_new(&q.hidden, p->count);
    if (s == OK) s = draw_members(&q, path);
    free(q.hidden);
    free(q.fitness);
    return s;
}
