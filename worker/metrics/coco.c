#include "worker/metrics/coco.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"

enum { CLASSES = 80, BOX = 6, FLUSH_AT = 1 << 20 };

struct coco_file {
    char *path, *part;
    int descriptor;
    bool coco;
    size_t count; /* boxes so far */
    text pending;
};

int coco_category(int class)
{
    static const unsigned char gaps[] = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83};
    assert(class >= 0 && class < CLASSES);
    int category = class + 1;
    for (size_t i = 0; i < sizeof gaps; i++) category += category >= gaps[i];
    return category;
}

static status flush(coco_file *f)
{
    TRY(text_status(&f->pending));
    status s = fs_write_all(f->descriptor, f->pending.bytes, f->pending.length, f->path);
    text_clear(&f->pending);
    return s;
}

status coco_start(const char *path, bool coco, coco_file **out)
{
    coco_file *f;
    *out = NULL;
    TRY(array_new(&f, 1));
    f->coco = coco;
    f->descriptor = -1;
    f->path = text_copy(path);
    text_add(&f->pending, "[");
    status s = f->path ? fs_replace_start(path, 0644, &f->descriptor, &f->part) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) *out = f;
    else coco_finish(&f, s);
    return s;
}

status coco_finish(coco_file **out, status result)
{
    coco_file *f = *out;
    if (!f) return result;
    if (result == OK) {
        text_add(&f->pending, f->count ? "\n]\n" : "]\n");
        result = flush(f);
    }
    if (f->descriptor >= 0) result = fs_replace_finish(f->path, f->descriptor, f->part, result);
    text_free(&f->pending);
    free(f->path);
    free(f->part);
    free(f);
    *out = NULL;
    return result;
}

/* 42 for 000042.jpg, "boat-7" for boat-7.jpg. */
static void add_id(text *out, const char *picture)
{
    const char *name = path_name(picture);
    size_t length = (size_t)(path_extension(name) - name), digits = strspn(name, "0123456789");
    if (length && digits >= length) {
        size_t zeros = strspn(name, "0");
        if (zeros >= length) zeros = length - 1;
        text_add(out, "%.*s", (int)(length - zeros), name + zeros);
        return;
    }
    char *own = text_copy_bytes(name, length);
    if (!own) out->failed = true;
    else text_clean(own, false);
    text_add(out, "\"");
    for (const char *c = own; c && *c; c++) text_add(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    text_add(out, "\"");
    free(own);
}

static void add_box(coco_file *f, const char *picture, const float *box, const float corners[4])
{
    text *out = &f->pending;
    int class = (int)box[5];
    text_add(out, f->count++ ? ",\n{\"image_id\": " : "\n{\"image_id\": ");
    add_id(out, picture);
    text_add(out, ", \"category_id\": %d, \"bbox\": [%.3f, %.3f, %.3f, %.3f], \"score\": %.5f}",
             f->coco && class < CLASSES ? coco_category(class) : class, (double)corners[BOX_X1],
             (double)corners[BOX_Y1], (double)(corners[BOX_X2] - corners[BOX_X1]),
             (double)(corners[BOX_Y2] - corners[BOX_Y1]), (double)box[4]);
}

status coco_add(coco_file *f, const char *picture, const float *boxes, size_t count, const boxes_placing *placing,
                int width, int height)
{
    for (size_t i = 0; i < count; i++) {
        float corners[4];
        memcpy(corners, boxes + i * BOX, sizeof corners);
        boxes_scale(corners, 1, 4, placing, width, height);
        if (!isfinite(corners[0] + corners[1] + corners[2] + corners[3])) continue; /* JSON has no such numbers */
        add_box(f, picture, boxes + i * BOX, corners);
    }
    return f->pending.length > FLUSH_AT ? flush(f) : text_status(&f->pending);
}
