/* test_pictures.h - pictures that were drawn, looked at by tests. */
#ifndef PLOTS_TEST_PICTURES_H
#define PLOTS_TEST_PICTURES_H

#include <stdbool.h>
#include <stdlib.h>

#include "worker/data/image.h"

/* Read a picture's file; false if it cannot be. The caller frees with image_free. */
static inline bool test_picture_read(const char *path, image *out)
{
    image_reader *r;
    *out = (image){0};
    if (image_reader_create(&r) != OK) return false;
    status s = image_read(r, path, out);
    image_reader_destroy(&r);
    return s == OK;
}

/* Pixels of a colour, give or take `slack` in each channel, within columns x1 to x2 and rows y1 to y2. */
static inline int test_picture_count(const image *i, const int rgb[3], int slack, int x1, int y1, int x2, int y2)
{
    int count = 0;
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++) {
            const uint8_t *p = i->pixels + image_bytes(i->width, y) + 3 * x;
            bool like = true;
            for (int k = 0; k < 3; k++) like = like && abs(p[k] - rgb[k]) <= slack;
            count += like;
        }
    return count;
}

#endif
