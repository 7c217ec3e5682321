#include "worker/backend/cpu/winograd.h"

enum { TILE = 4 };

/* Measured with oneDNN 2.6.3 on a core with AVX-512, 16 to 512 channels, maps of 4 to 160 pixels a side, 1 to 16 images: where
 * the rule says yes, a run takes .4 to .95 of the direct one's time; where it says no, .8 and up. */
bool winograd_pays(const conv_parameters *p, conv_pass pass, int images, int in_channels, int out_channels, int height,
                   int width)
{
    bool fits = p->kernel_h == 3 && p->kernel_w == 3 && p->stride_h == 1 && p->stride_w == 1 && p->groups == 1;
    if (!fits || p->pad_h != 1 || p->pad_w != 1) return false;
    int64_t channels = in_channels < out_channels ? in_channels : out_channels;
    int64_t tiles = (int64_t)images * height * width / (TILE * TILE); /* that their pixels would fill */
    if (tiles < 64) return false;
    if (pass == PASS_WEIGHTS && channels < 48) return channels >= 32 && tiles >= 1024;
    return channels >= 32 && tiles * channels >= 8192;
}
