#include "common/draw/canvas.h"

#include <math.h>
#include <stdlib.h>

#include "common/fs.h"
#include "common/text.h"

/* ---- the page ---- */

/* Cairo's fontconfig keeps its caches until the process ends; LeakSanitizer asks here what not to report. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n";
}

status canvas_status(const canvas *c, const char *what)
{
    cairo_status_t wrong = cairo_status(c->cairo);
    if (!wrong) return OK;
    status s = wrong == CAIRO_STATUS_NO_MEMORY ? ERR_MEMORY : wrong == CAIRO_STATUS_INVALID_SIZE ? ERR_RANGE : ERR_IO;
    return FAIL(s, "cannot draw %s: %s", what, cairo_status_to_string(wrong));
}

status canvas_create(canvas *c, int width, int height)
{
    *c = (canvas){.width = width, .height = height};
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    c->cairo = cairo_create(c->surface);
    cairo_set_source_rgb(c->cairo, 1, 1, 1);
    cairo_paint(c->cairo);
    cairo_select_font_face(c->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    return canvas_status(c, "a picture");
}

void canvas_free(canvas *c)
{
    if (c->cairo) cairo_destroy(c->cairo);
    if (c->surface) cairo_surface_destroy(c->surface);
    *c = (canvas){0};
}

static cairo_status_t collect_bytes(void *out, const unsigned char *bytes, unsigned count)
{
    text_add_bytes(out, bytes, count);
    return ((text *)out)->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

status canvas_write_png(const canvas *c, const char *path)
{
    text png = {0};
    status s = canvas_status(c, path_name(path));
    cairo_status_t wrong = s == OK ? cairo_surface_write_to_png_stream(c->surface, collect_bytes, &png) : 0;
    if (wrong)
        s = FAIL(wrong == CAIRO_STATUS_NO_MEMORY ? ERR_MEMORY : ERR_IO, "cannot draw %s: %s", path_name(path),
                 cairo_status_to_string(wrong));
    if (s == OK) s = fs_write(path, png.bytes, png.length);
    text_free(&png);
    return s;
}

const unsigned char *canvas_pixels(const canvas *c, int *stride)
{
    cairo_surface_flush(c->surface);
    *stride = cairo_image_surface_get_stride(c->surface);
    return cairo_image_surface_get_data(c->surface);
}

/* ---- colours ---- */

const colour colour_ink = {0.15, 0.15, 0.15}, colour_pale = {0.88, 0.88, 0.88};

colour colour_numbered(int number)
{
    static const colour colours[] = {
        {0.12, 0.47, 0.71}, {1.00, 0.50, 0.05}, {0.17, 0.63, 0.17}, {0.84, 0.15, 0.16}, {0.58, 0.40, 0.74},
        {0.55, 0.34, 0.29}, {0.89, 0.47, 0.76}, {0.50, 0.50, 0.50}, {0.74, 0.74, 0.13}, {0.09, 0.75, 0.81},
    };
    return colours[(size_t)number % (sizeof colours / sizeof *colours)];
}

colour colour_between(colour from, colour to, double part)
{
    return (colour){from.r + part * (to.r - from.r), from.g + part * (to.g - from.g), from.b + part * (to.b - from.b)};
}

void canvas_colour(const canvas *c, colour colour)
{
    cairo_set_source_rgb(c->cairo, colour.r, colour.g, colour.b);
}

/* ---- shapes ---- */

/* Cairo draws nothing any more once it has met a text that is no UTF-8. */
static char *clean_copy(const char *words)
{
    char *copy = text_copy(words);
    if (copy) text_clean(copy, false);
    return copy;
}

double canvas_text_width(const canvas *c, double size, const char *words)
{
    cairo_text_extents_t extents = {0};
    char *copy = clean_copy(words);
    cairo_set_font_size(c->cairo, size);
    if (copy) cairo_text_extents(c->cairo, copy, &extents);
    free(copy);
    return extents.x_advance;
}

void canvas_text(const canvas *c, double x, double y, double size, double room, align align, const char *words)
{
    static const double shifts[] = {[ALIGN_LEFT] = 0, [ALIGN_CENTRE] = 0.5, [ALIGN_RIGHT] = 1};
    double width = canvas_text_width(c, size, words);
    char *copy = clean_copy(words);
    if (width > room) {
        cairo_set_font_size(c->cairo, size * room / width);
        width = room;
    }
    cairo_move_to(c->cairo, x - shifts[align] * width, y);
    if (copy) cairo_show_text(c->cairo, copy);
    cairo_new_path(c->cairo); /* the text's end would be a point of the next shape */
    free(copy);
}

void canvas_text_up(const canvas *c, double x, double y, double size, double room, align align, const char *words)
{
    cairo_save(c->cairo);
    cairo_translate(c->cairo, x, y);
    cairo_rotate(c->cairo, -M_PI / 2);
    canvas_text(c, 0, 0, size, room, align, words);
    cairo_restore(c->cairo);
}

void canvas_line(const canvas *c, double x1, double y1, double x2, double y2)
{
    cairo_set_line_width(c->cairo, 1);
    cairo_move_to(c->cairo, floor(x1) + 0.5, floor(y1) + 0.5); /* the middle of a pixel */
    cairo_line_to(c->cairo, floor(x2) + 0.5, floor(y2) + 0.5);
    cairo_stroke(c->cairo);
}

void canvas_dot(const canvas *c, double x, double y, double radius)
{
    cairo_arc(c->cairo, x, y, radius, 0, 2 * M_PI);
    cairo_fill(c->cairo);
}

void canvas_ring(const canvas *c, double x, double y, double radius)
{
    cairo_set_line_width(c->cairo, 2);
    cairo_arc(c->cairo, x, y, radius, 0, 2 * M_PI);
    cairo_stroke(c->cairo);
}

void canvas_fill(const canvas *c, double x, double y, double width, double height)
{
    cairo_rectangle(c->cairo, x, y, width, height);
    cairo_fill(c->cairo);
}

/* ---- frames ---- */

double frame_x(const frame *f, double value)
{
    return f->x + axis_place(&f->across, value) * f->width;
}

double frame_y(const frame *f, double value)
{
    return f->y + (1 - axis_place(&f->up, value)) * f->height;
}

enum { TICK = 3, NUMBER_SIZE = 10 };

static void draw_across(const canvas *c, const frame *f, bool labels)
{
    char label[AXIS_LABEL_ROOM];
    double bottom = f->y + f->height, room = f->width / (double)(f->across.count ? f->across.count : 1);
    for (size_t i = 0; i < f->across.count; i++) {
        double at = frame_x(f, f->across.ticks[i]);
        canvas_colour(c, colour_pale);
        canvas_line(c, at, f->y, at, bottom);
        canvas_colour(c, colour_ink);
        canvas_line(c, at, bottom, at, bottom + TICK);
        axis_label(&f->across, i, label);
        if (labels) canvas_text(c, at, bottom + 15, NUMBER_SIZE, room, ALIGN_CENTRE, label);
    }
}

static void draw_up(const canvas *c, const frame *f, bool labels, double room)
{
    char label[AXIS_LABEL_ROOM];
    for (size_t i = 0; i < f->up.count; i++) {
        double at = frame_y(f, f->up.ticks[i]);
        canvas_colour(c, colour_pale);
        canvas_line(c, f->x, at, f->x + f->width, at);
        canvas_colour(c, colour_ink);
        canvas_line(c, f->x - TICK, at, f->x, at);
        axis_label(&f->up, i, label);
        if (labels) canvas_text(c, f->x - 6, at + 3.5, NUMBER_SIZE, room - 6, ALIGN_RIGHT, label);
    }
}

void frame_border(const canvas *c, const frame *f)
{
    canvas_colour(c, colour_ink);
    cairo_set_line_width(c->cairo, 1);
    cairo_rectangle(c->cairo, floor(f->x) + 0.5, floor(f->y) + 0.5, f->width, f->height);
    cairo_stroke(c->cairo);
}

void frame_draw(const canvas *c, const frame *f, int labels, double left_room)
{
    draw_across(c, f, labels & FRAME_LABELS_BELOW);
    draw_up(c, f, labels & FRAME_LABELS_LEFT, left_room);
    frame_border(c, f);
}
