/* hsv.h - colour jitter: hue, saturation and value each through a table.
 *
 * Source: augment_hsv() in utils/datasets.py of the reference. What the tables are applied to is in backend/augment.h. */
#ifndef DATA_HSV_H
#define DATA_HSV_H

#include "worker/backend/augment.h"
#include "worker/data/draw.h"

/* Gains of 1 +/- hue, saturation, value: three of draw_uniform_numpy(-1, 1). */
void hsv_draw(draw *d, double hue, double saturation, double value, double gains[3]);
/* The tables for these gains (0 and up): hue turns (modulo 180), the others saturate; fractions are cut off. */
void hsv_tables(const double gains[3], augment_sample *out);

#endif
