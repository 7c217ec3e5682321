#include "worker/plots/density.h"

#include <math.h>
#include <stdlib.h>

#include "common/array.h"

static const colour few = {0.78, 0.87, 0.94}, many = {0.03, 0.19, 0.42};

/* The bin of a value; -1 beyond the scale. What lies at its upper end belongs to the last one. */
static int bin_of(const axis *a, double value, int bins)
{
    double place = axis_place(a, value);
    if (!(place >= 0 && place <= 1)) return -1;
    return place < 1 ? (int)(place * bins) : bins - 1;
}

status density_bars(const canvas *c, frame *f, int bin, const float *values, size_t count, size_t step)
{
    int bins = (int)f->width / bin;
    double *counts;
    TRY(array_new(&counts, (size_t)bins + 1)); /* the last stays 0, so that bars stand on the ground */
    for (size_t i = 0; i < count; i++) {
        int at = bin_of(&f->across, (double)values[i * step], bins);
        if (at >= 0) counts[at]++;
    }
    axis_make(&f->up, counts, (size_t)bins + 1, AXIS_TICKS_LEAST, false);
    axis_between(&f->up, 0, f->up.high, AXIS_TICKS_LEAST);
    canvas_colour(c, colour_between(few, many, 0.6));
    for (int i = 0; i < bins; i++) {
        double top = frame_y(f, counts[i]);
        canvas_fill(c, f->x + i * bin, top, bin, f->y + f->height - top);
    }
    free(counts);
    return OK;
}

status density_map(const canvas *c, const frame *f, int bin, const float *across, const float *up, size_t count,
                   size_t step)
{
    int columns = (int)f->width / bin, rows = (int)f->height / bin;
    double *counts, most = 1;
    TRY(array_new(&counts, (size_t)columns * (size_t)rows));
    for (size_t i = 0; i < count; i++) {
        int x = bin_of(&f->across, (double)across[i * step], columns), y = bin_of(&f->up, (double)up[i * step], rows);
        if (x >= 0 && y >= 0) most = fmax(most, ++counts[(size_t)y * (size_t)columns + (size_t)x]);
    }
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            double here = counts[(size_t)y * (size_t)columns + (size_t)x];
            if (here == 0) continue;
            canvas_colour(c, colour_between(few, many, log(here) / log(fmax(most, 2))));
            canvas_fill(c, f->x + x * bin, f->y + (rows - 1 - y) * bin, bin, bin);
        }
    free(counts);
    return OK;
}
