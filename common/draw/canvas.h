/* canvas.h - pictures for people: text, lines, and frames with scales, on a page (cairo).
 *
 * Drawing has no status of its own: cairo remembers what went wrong, and canvas_write_png says it. Lengths are pixels from the upper
 * left corner. Fonts are what the system takes for sans-serif. */
#ifndef DRAW_CANVAS_H
#define DRAW_CANVAS_H

#include <cairo/cairo.h>

#include "common/draw/axis.h"
#include "common/status.h"

typedef struct canvas {
    cairo_surface_t *surface;
    cairo_t *cairo; /* for what is not here */
    int width, height;
} canvas;

/* A white page. ERR_MEMORY, ERR_RANGE beyond what cairo can. Free it with canvas_free, also after an error. */
status canvas_create(canvas *c, int width, int height);
void canvas_free(canvas *c);
/* What cairo remembers: OK, ERR_MEMORY, ERR_IO. `what` is in the message. */
status canvas_status(const canvas *c, const char *what);
/* Write the page, atomically. Errors are those of fs_write and canvas_status. */
status canvas_write_png(const canvas *c, const char *path);
/* The page's pixels, once all is drawn: 4 bytes each (blue, green, red, unused), rows *stride bytes apart. Borrowed. */
const unsigned char *canvas_pixels(const canvas *c, int *stride);

/* ---- colours ---- */

typedef struct colour {
    double r, g, b; /* 0 to 1 */
} colour;

extern const colour colour_ink, colour_pale; /* of text and frames; of grids */
/* Ten that can be told apart, for classes and curves; over and over. `number` is 0 or more. */
colour colour_numbered(int number);
/* From one colour (part 0) to another (part 1). */
colour colour_between(colour from, colour to, double part);

void canvas_colour(const canvas *c, colour colour);

/* ---- shapes ---- */

typedef enum align { ALIGN_LEFT, ALIGN_CENTRE, ALIGN_RIGHT } align;

/* Text on a baseline, in a smaller size where it would be wider than `room`. What is no UTF-8 becomes question marks. */
void canvas_text(const canvas *c, double x, double y, double size, double room, align align, const char *words);
/* The same, read from below: turned around (x, y). */
void canvas_text_up(const canvas *c, double x, double y, double size, double room, align align, const char *words);
/* How wide it is in that size. */
double canvas_text_width(const canvas *c, double size, const char *words);
/* One pixel wide and sharp; level or upright. */
void canvas_line(const canvas *c, double x1, double y1, double x2, double y2);
void canvas_dot(const canvas *c, double x, double y, double radius);
void canvas_ring(const canvas *c, double x, double y, double radius);
void canvas_fill(const canvas *c, double x, double y, double width, double height);

/* ---- frames ---- */

typedef struct frame {
    double x, y, width, height;
    axis across, up;
} frame;

double frame_x(const frame *f, double value);
double frame_y(const frame *f, double value);

enum { FRAME_LABELS_BELOW = 1, FRAME_LABELS_LEFT = 2 };
/* Grid, border and ticks, with numbers where `labels` says: below they take 18 px, to the left `left_room`. */
void frame_draw(const canvas *c, const frame *f, int labels, double left_room);
/* The border alone, over what was drawn inside. */
void frame_border(const canvas *c, const frame *f);

#endif
