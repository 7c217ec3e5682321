#include "worker/plots/batch_picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <turbojpeg.h>

#include "common/draw/canvas.h"
#include "worker/data/resize.h"

/* Pixels. */
enum { PAGE = 1280, TILE_LEAST = 240, GAP = 2, LABEL = 11, LABEL_HEIGHT = 14, FILE_NAME = 11, FILE_NAME_MOST = 40 };
static const double line_width = 1.5;

enum { JPEG_QUALITY = 90 };

/* Where a picture lies on the page, and how much smaller it is there. */
typedef struct tile {
    double x, y, width, height, scale;
} tile;

typedef struct page {
    canvas c;
    const batch_picture *b;
    int columns, rows, tile_width, tile_height;
    double scale;
    image resized;
} page;

/* ---- where things are ---- */

/* Pictures fill the page in a square, but are not made larger than they are, unless they are tiny. */
static void lay_out(page *p)
{
    const batch_picture *b = p->b;
    int shown = b->images < BATCH_PICTURES_MOST ? b->images : BATCH_PICTURES_MOST, longer = b->width;
    if (b->height > longer) longer = b->height;
    p->columns = (int)ceil(sqrt(shown));
    p->rows = (shown + p->columns - 1) / p->columns;
    double most = (PAGE - GAP) / p->columns - GAP;
    p->scale = longer > most ? most / longer : longer < TILE_LEAST ? (double)TILE_LEAST / longer : 1;
    p->tile_width = (int)fmax(round(b->width * p->scale), 1);
    p->tile_height = (int)fmax(round(b->height * p->scale), 1);
}

static tile tile_of(const page *p, int number)
{
    return (tile){GAP + number % p->columns * (p->tile_width + GAP), GAP + number / p->columns * (p->tile_height + GAP),
                  p->tile_width, p->tile_height, p->scale};
}

/* ---- a picture ---- */

static status paint_pixels(page *p, int number)
{
    const batch_picture *b = p->b;
    size_t bytes = image_bytes(b->width, b->height);
    image from = {(uint8_t *)b->pixels + (size_t)number * bytes, b->width, b->height, bytes, true};
    tile t = tile_of(p, number);
    TRY(image_resize(&from, RESIZE_AREA, p->tile_width, p->tile_height, &p->resized));
    cairo_surface_flush(p->c.surface);
    int stride = cairo_image_surface_get_stride(p->c.surface);
    unsigned char *page_pixels = cairo_image_surface_get_data(p->c.surface);
    for (int y = 0; y < p->tile_height; y++) {
        const uint8_t *source = p->resized.pixels + image_bytes(p->tile_width, y);
        uint32_t *target = (uint32_t *)(page_pixels + ((int)t.y + y) * stride) + (int)t.x;
        for (int x = 0; x < p->tile_width; x++, source += 3)
            target[x] = (uint32_t)source[0] << 16 | (uint32_t)source[1] << 8 | source[2];
    }
    cairo_surface_mark_dirty(p->c.surface);
    return OK;
}

/* Class and score in white on the box's colour, above its upper left corner, or inside where there is no room. */
static void draw_label(const page *p, const tile *t, const picture_box *box, double x, double y, colour own)
{
    const batch_picture *b = p->b;
    text words = {0};
    if (b->names && box->cls >= 0 && box->cls < b->classes) text_add(&words, "%s", b->names[box->cls]);
    else text_add(&words, "%d", box->cls);
    if (box->score >= 0) text_add(&words, " %.1f", (double)box->score);
    double width = fmin(canvas_text_width(&p->c, LABEL, text_string(&words)) + 6, t->width);
    x = fmin(x, t->x + t->width - width);
    y = y - LABEL_HEIGHT < t->y ? y : y - LABEL_HEIGHT;
    canvas_colour(&p->c, own);
    canvas_fill(&p->c, x, y, width, LABEL_HEIGHT);
    cairo_set_source_rgb(p->c.cairo, 1, 1, 1);
    canvas_text(&p->c, x + 3, y + LABEL_HEIGHT - 3.5, LABEL, width - 6, ALIGN_LEFT, text_string(&words));
    text_free(&words);
}

static void draw_box(const page *p, const tile *t, const picture_box *box, bool label)
{
    colour own = colour_numbered(box->cls < 0 ? 0 : box->cls);
    if (!isfinite(box->x1 + box->y1 + box->x2 + box->y2)) return;
    double x = t->x + t->scale * (double)box->x1, y = t->y + t->scale * (double)box->y1;
    if (label) {
        draw_label(p, t, box, fmax(x - line_width / 2, t->x), fmax(y, t->y), own);
        return;
    }
    canvas_colour(&p->c, own);
    cairo_set_line_width(p->c.cairo, line_width);
    cairo_rectangle(p->c.cairo, x, y, t->scale * (double)(box->x2 - box->x1), t->scale * (double)(box->y2 - box->y1));
    cairo_stroke(p->c.cairo);
}

static void draw_file_name(const page *p, const tile *t, const char *name)
{
    char shown[FILE_NAME_MOST + 1];
    snprintf(shown, sizeof shown, "%s", name);
    double width = fmin(canvas_text_width(&p->c, FILE_NAME, shown) + 6, t->width), y = t->y + t->height;
    cairo_set_source_rgba(p->c.cairo, 0, 0, 0, 0.5);
    canvas_fill(&p->c, t->x, y - LABEL_HEIGHT, width, LABEL_HEIGHT);
    cairo_set_source_rgb(p->c.cairo, 1, 1, 1);
    canvas_text(&p->c, t->x + 3, y - 4, FILE_NAME, width - 6, ALIGN_LEFT, shown);
}

static status draw_tile(page *p, int number)
{
    const batch_picture *b = p->b;
    tile t = tile_of(p, number);
    TRY(paint_pixels(p, number));
    cairo_save(p->c.cairo);
    cairo_rectangle(p->c.cairo, t.x, t.y, t.width, t.height);
    cairo_clip(p->c.cairo);
    for (int label = 0; label < 2; label++) /* first all boxes: no line crosses a word */
        for (size_t i = 0; i < b->box_count; i++)
            if (b->boxes[i].image == number) draw_box(p, &t, &b->boxes[i], label);
    if (b->files) draw_file_name(p, &t, b->files[number]);
    cairo_restore(p->c.cairo);
    return OK;
}

/* ---- the page ---- */

static status compress(const canvas *c, text *jpeg)
{
    int stride;
    unsigned long length = 0;
    unsigned char *file = NULL;
    const unsigned char *pixels = canvas_pixels(c, &stride);
    tjhandle turbo = tjInitCompress();
    if (!turbo) return FAIL(ERR_MEMORY, "out of memory for a picture");
    int wrong = tjCompress2(turbo, pixels, c->width, stride, c->height, TJPF_BGRX, &file, &length, TJSAMP_444,
                            JPEG_QUALITY, TJFLAG_FASTDCT);
    status s = wrong ? FAIL(ERR_IO, "cannot compress a picture: %s", tjGetErrorStr2(turbo)) : OK;
    if (s == OK) text_add_bytes(jpeg, file, length);
    tjFree(file);
    tjDestroy(turbo);
    return s == OK ? text_status(jpeg) : s;
}

static status draw_page(page *p, text *jpeg)
{
    TRY(canvas_create(&p->c, GAP + p->columns * (p->tile_width + GAP), GAP + p->rows * (p->tile_height + GAP)));
    for (int i = 0; i < p->b->images && i < BATCH_PICTURES_MOST; i++) TRY(draw_tile(p, i));
    TRY(canvas_status(&p->c, "a batch"));
    return compress(&p->c, jpeg);
}

status batch_picture_draw(const batch_picture *b, text *jpeg, int *width, int *height)
{
    page p = {.b = b};
    lay_out(&p);
    status s = draw_page(&p, jpeg);
    *width = p.c.width;
    *height = p.c.height;
    image_free(&p.resized);
    canvas_free(&p.c);
    return s;
}
