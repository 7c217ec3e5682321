#include "worker/data/augment_plain.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 3 };

/* ---- geometry ---- */

/* OpenCV's coordinates have 5 bits behind the point; affine ones are added up with 10. */
enum { POSITION_BITS = 5, AFFINE_BITS = 10, ONE = 1 << POSITION_BITS };

/* Far outside of any canvas, and far from overflow. */
static const double position_most = 1 << 29;

static int32_t to_fixed(double value)
{
    return (int32_t)lrint(fmax(-position_most, fmin(position_most, value)));
}

/* Canvas position of output pixel (x, y), in 1/32 pixels. */
static void find_position(const augment_layer *l, int x, int y, int32_t *px, int32_t *py)
{
    const double *m = l->inverse, scale = 1 << AFFINE_BITS;
    const int shift = AFFINE_BITS - POSITION_BITS, half = 1 << (shift - 1);
    if (l->warp == WARP_NONE) {
        *px = x * ONE;
        *py = y * ONE;
    } else if (l->warp == WARP_AFFINE) {
        *px = (to_fixed((m[1] * y + m[2]) * scale) + half + to_fixed(m[0] * x * scale)) >> shift;
        *py = (to_fixed((m[4] * y + m[5]) * scale) + half + to_fixed(m[3] * x * scale)) >> shift;
    } else {
        double z = m[7] * y + m[8] + m[6] * x;
        z = z != 0 ? ONE / z : 0;
        *px = to_fixed((m[1] * y + m[2] + m[0] * x) * z);
        *py = to_fixed((m[4] * y + m[5] + m[3] * x) * z);
    }
}

/* The canvas at a whole position: the last tile that covers it, else grey. */
static const uint8_t *canvas_at(const augment_layer *l, const uint8_t *images, int x, int y)
{
    static const uint8_t grey[CHANNELS] = {AUGMENT_GREY, AUGMENT_GREY, AUGMENT_GREY};
    for (int i = l->tiles; i-- > 0;) {
        const augment_tile *t = &l->tile[i];
        if (x < t->x1 || x >= t->x2 || y < t->y1 || y >= t->y2) continue;
        size_t row = (size_t)(y - t->y1 + t->from_y), column = (size_t)(x - t->x1 + t->from_x);
        return images + t->offset + CHANNELS * (row * (size_t)t->width + column);
    }
    return grey;
}

static void layer_at(const augment_layer *l, const uint8_t *images, int x, int y, uint8_t rgb[CHANNELS])
{
    int32_t px, py;
    find_position(l, x, y, &px, &py);
    int left = px >> POSITION_BITS, top = py >> POSITION_BITS, fx = px & (ONE - 1), fy = py & (ONE - 1);
    const uint8_t *a = canvas_at(l, images, left, top), *b = canvas_at(l, images, left + 1, top);
    const uint8_t *c = canvas_at(l, images, left, top + 1), *d = canvas_at(l, images, left + 1, top + 1);
    for (int k = 0; k < CHANNELS; k++) {
        int above = a[k] * (ONE - fx) + b[k] * fx, below = c[k] * (ONE - fx) + d[k] * fx;
        rgb[k] = (uint8_t)((above * (ONE - fy) + below * fy + ONE * ONE / 2) / (ONE * ONE));
    }
}

/* ---- colour ---- */

enum { HSV_BITS = 12, HUE_SIXTH = 30, HUES = 180 };

void augment_rgb_to_hsv(const uint8_t rgb[3], uint8_t hsv[3])
{
    int r = rgb[0], g = rgb[1], b = rgb[2], half = 1 << (HSV_BITS - 1);
    int most = r > g ? r : g, least = r < g ? r : g;
    if (b > most) most = b;
    if (b < least) least = b;
    int spread = most - least;
    /* OpenCV divides by tables of rounded reciprocals */
    int by_most = most ? (int)lrint((255 << HSV_BITS) / (double)most) : 0;
    int by_spread = spread ? (int)lrint((HUES << HSV_BITS) / (6.0 * spread)) : 0;
    int hue = most == r ? g - b : most == g ? b - r + 2 * spread : r - g + 4 * spread;
    hue = (hue * by_spread + half) >> HSV_BITS;
    hsv[0] = (uint8_t)(hue < 0 ? hue + HUES : hue);
    hsv[1] = (uint8_t)((spread * by_most + half) >> HSV_BITS);
    hsv[2] = (uint8_t)most;
}

void augment_hsv_to_rgb(const uint8_t hsv[3], uint8_t rgb[3])
{
    /* for each sixth of the hues: which of the four levels red, green and blue have */
    static const uint8_t levels[6][CHANNELS] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3}, {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    float hue = (float)hsv[0] * (1.0f / HUE_SIXTH), s = (float)hsv[1] * (1.0f / 255), v = (float)hsv[2] * (1.0f / 255);
    int sixth = (int)hue;
    float part = hue - (float)sixth;
    const float level[4] = {v, v * (1 - s), v * (1 - s * part), v * (1 - s * (1 - part))};
    for (int k = 0; k < CHANNELS; k++) rgb[k] = (uint8_t)(level[levels[sixth % 6][k]] * 255);
}

/* ---- all together ---- */

static void sample_at(const augment_sample *s, const uint8_t *images, int x, int y, uint8_t rgb[CHANNELS])
{
    layer_at(&s->layer[0], images, x, y, rgb);
    if (s->layers == 2) {
        uint8_t other[CHANNELS];
        layer_at(&s->layer[1], images, x, y, other);
        for (int k = 0; k < CHANNELS; k++) rgb[k] = (uint8_t)(rgb[k] * s->mix + other[k] * (1 - s->mix));
    }
    if (s->colour) {
        uint8_t hsv[3];
        augment_rgb_to_hsv(rgb, hsv);
        const uint8_t changed[3] = {s->hue[hsv[0]], s->saturation[hsv[1]], s->value[hsv[2]]};
        augment_hsv_to_rgb(changed, rgb);
    }
}

status augment_plain(const augment_sample *s, const uint8_t *images, size_t image_bytes, int width, int height,
                     uint8_t *out)
{
    TRY(augment_check(s, image_bytes, width, height));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int to_x = s->flip_left_right ? width - 1 - x : x, to_y = s->flip_up_down ? height - 1 - y : y;
            sample_at(s, images, x, y, out + CHANNELS * ((size_t)to_y * (size_t)width + (size_t)to_x));
        }
    return OK;
}
