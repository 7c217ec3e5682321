#include "examples/shapes/picture.h"

#include <stdlib.h>
#include <turbojpeg.h>

#include "common/array.h"
#include "examples/shapes/camera.h"
#include "examples/shapes/difficulty.h"
#include "examples/shapes/scene.h"

static status encode(const uint8_t *rgb, int width, int height, int quality, picture *out)
{
    tjhandle jpeg = tjInitCompress();
    if (!jpeg) return FAIL(ERR_MEMORY, "cannot start the JPEG encoder: %s", tjGetErrorStr2(NULL));
    unsigned long count = 0;
    status s = OK;
    /* The accurate transform gives the same bytes with and without vector instructions. */
    if (tjCompress2(jpeg, rgb, width, 0, height, TJPF_RGB, &out->jpeg, &count, TJSAMP_420, quality, TJFLAG_ACCURATEDCT))
        s = FAIL(ERR_IO, "cannot encode a picture of %d x %d: %s", width, height, tjGetErrorStr2(jpeg));
    out->jpeg_count = count;
    tjDestroy(jpeg);
    return s;
}

static void write_labels(const scene *s, text *out)
{
    double width = s->canvas.width, height = s->canvas.height;
    for (size_t i = 0; i < s->count; i++) {
        rectangle b = s->labels[i].box;
        text_add(out, "%d %.6f %.6f %.6f %.6f\n", s->labels[i].class_index, (b.left + b.right) / 2 / width,
                 (b.top + b.bottom) / 2 / height, (b.right - b.left) / width, (b.bottom - b.top) / height);
    }
    if (!s->count) text_add(out, "%s", "");
}

status picture_make(uint64_t seed, int split, int number, int width, int height, picture *out)
{
    *out = (picture){0};
    keyed_rng r;
    keyed_seed(&r, seed, (uint64_t)split, (uint64_t)number);
    scene made;
    uint8_t *rgb;
    TRY(scene_create(&made, width, height, &r));
    status s = array_new(&rgb, (size_t)width * (size_t)height * 3);
    if (s == OK) {
        camera_take(&made.canvas, &r, rgb);
        write_labels(&made, &out->labels);
        s = text_status(&out->labels);
        if (s == OK) s = encode(rgb, width, height, draw_whole(&r, QUALITY_LEAST, QUALITY_MOST), out);
        free(rgb);
    }
    scene_free(&made);
    if (s != OK) picture_free(out);
    return s;
}

void picture_free(picture *p)
{
    tjFree(p->jpeg);
    text_free(&p->labels);
    *p = (picture){0};
}
