#include "worker/data/hsv.h"

#include <math.h>

enum { HUES = 180 };

void hsv_draw(draw *d, double hue, double saturation, double value, double gains[3])
{
    const double ranges[3] = {hue, saturation, value};
    for (int i = 0; i < 3; i++) gains[i] = draw_uniform_numpy(d, -1, 1) * ranges[i] + 1;
}

static uint8_t saturate(double value)
{
    return (uint8_t)fmin(value, 255);
}

void hsv_tables(const double gains[3], augment_sample *out)
{
    out->colour = 1;
    for (int x = 0; x < 256; x++) {
        out->hue[x] = (uint8_t)fmod(x * gains[0], HUES);
        out->saturation[x] = saturate(x * gains[1]);
        out->value[x] = saturate(x * gains[2]);
    }
}
