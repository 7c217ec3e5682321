#include "worker/data/letterbox.h"

#include <math.h>

enum { AUTOMATIC_STEP = 64 };

static int at_least_1(double value)
{
    return value < 1 ? 1 : (int)value;
}

void letterbox_load_size(int width, int height, int size, int *out_width, int *out_height)
{
    int longest = width > height ? width : height;
    double ratio = (double)size / longest;
    *out_width = longest == size ? width : at_least_1(width * ratio);
    *out_height = longest == size ? height : at_least_1(height * ratio);
}

letterbox letterbox_fit(int width, int height, int new_width, int new_height, letterbox_options options)
{
    double ratio = fmin((double)new_height / height, (double)new_width / width);
    if (options.only_shrink) ratio = fmin(ratio, 1);
    letterbox l = {.ratio_width = ratio, .ratio_height = ratio};
    l.inner_width = at_least_1(rint(width * ratio));
    l.inner_height = at_least_1(rint(height * ratio));
    int border_x = new_width - l.inner_width, border_y = new_height - l.inner_height;
    if (options.automatic) {
        border_x %= AUTOMATIC_STEP;
        border_y %= AUTOMATIC_STEP;
    } else if (options.fill) {
        border_x = border_y = 0;
        l.inner_width = new_width;
        l.inner_height = new_height;
        l.ratio_width = (double)new_width / width;
        l.ratio_height = (double)new_height / height;
    }
    l.pad_width = border_x / 2.0;
    l.pad_height = border_y / 2.0;
    l.left = (int)rint(l.pad_width - 0.1);
    l.top = (int)rint(l.pad_height - 0.1);
    l.width = l.inner_width + l.left + (int)rint(l.pad_width + 0.1);
    l.height = l.inner_height + l.top + (int)rint(l.pad_height + 0.1);
    return l;
}
