#include "tests/bench/set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"
#include "tests/bench/bench.h"

/* ---- making one ---- */

/* What `shapes` draws; enough that no picture follows itself, few enough to be drawn in seconds. */
static const char drawn_train[] = "20", drawn_val[] = "9", drawn_width[] = "640";
enum { DRAWN_TRAIN = 20, DRAWN_VAL = 9 };
static const char yaml_text[] = "train: images/train\nval: images/val\nnc: 3\nnames: [disc, square, triangle]\n";

static status draw(const char *folder)
{
    char *arguments[] = {(char *)"shapes",    (char *)"--out",
                         (char *)folder,      (char *)"--train",
                         (char *)drawn_train, (char *)"--val",
                         (char *)drawn_val,   (char *)"--size",
                         (char *)drawn_width, NULL};
    log_info("drawing pictures in %s", folder);
    return bench_run_program(arguments);
}

/* from/KIND/SPLIT/NUMBER.EXTENSION becomes to/KIND/SPLIT/..., `count` times in turn. */
static status spread(const char *from, const char *to, const char *kind, const char *split, const char *extension,
                     int drawn, int count)
{
    text a = {0}, b = {0};
    text_add(&b, "%s/%s/%s", to, kind, split);
    status s = text_status(&b);
    if (s == OK) s = fs_make_folders(text_string(&b), 0700);
    for (int i = 0; s == OK && i < count; i++) {
        text_clear(&a);
        text_clear(&b);
        text_add(&a, "%s/%s/%s/%04d.%s", from, kind, split, i % drawn, extension);
        text_add(&b, "%s/%s/%s/%04d.%s", to, kind, split, i, extension);
        s = text_status(&a) == OK ? text_status(&b) : ERR_MEMORY;
        if (s == OK && link(text_string(&a), text_string(&b)))
            s = FAIL(fs_status_of_errno(errno), "cannot link %s: %s", text_string(&b), strerror(errno));
    }
    text_free(&a);
    text_free(&b);
    return s;
}

static status make(bench_set *out)
{
    TRY(bench_folder(&out->folder));
    char *few = path_join(out->folder, "few");
    out->root = path_join(out->folder, "many");
    status s = few && out->root ? draw(few) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = spread(few, out->root, "images", "train", "jpg", DRAWN_TRAIN, SET_TRAIN);
    if (s == OK) s = spread(few, out->root, "labels", "train", "txt", DRAWN_TRAIN, SET_TRAIN);
    if (s == OK) s = spread(few, out->root, "images", "val", "jpg", DRAWN_VAL, SET_VAL);
    if (s == OK) s = spread(few, out->root, "labels", "val", "txt", DRAWN_VAL, SET_VAL);
    out->yaml = text_copy(yaml_text);
    if (s == OK && !out->yaml) s = FAIL(ERR_MEMORY, "out of memory");
    free(few);
    return s;
}

/* ---- the user's ---- */

static status take(const char *path, bench_set *out)
{
    size_t count;
    TRY(fs_read(path, 1 << 20, &out->yaml, &count));
    out->root = path_folder(path);
    return out->root ? OK : FAIL(ERR_MEMORY, "out of memory");
}

status bench_set_open(const char *yaml, bench_set *out)
{
    *out = (bench_set){0};
    status s = *yaml ? take(yaml, out) : make(out);
    if (s == OK) s = data_yaml_parse(*yaml ? yaml : "the pictures drawn", out->yaml, out->root, &out->data);
    if (s != OK) bench_set_close(out);
    return s;
}

void bench_set_close(bench_set *s)
{
    if (s->folder && fs_remove(s->folder) != OK) log_warning("%s", status_message());
    data_yaml_free(&s->data);
    free(s->folder);
    free(s->yaml);
    free(s->root);
    *s = (bench_set){0};
}
