#include "tests/chaos/scene.h"

#include <stdlib.h>

/* A detector of 40,000 parameters, as tests/cluster has it: for the runs that train. */
static const char model[] = "nc: 3\n"
                            "depth_multiple: 0.33\n"
                            "width_multiple: 0.0625\n"
                            "anchors:\n"
                            "  - [10,13, 16,30, 33,23]\n"
                            "  - [30,61, 62,45, 59,119]\n"
                            "  - [116,90, 156,198, 373,326]\n"
                            "backbone:\n"
                            "  - [-1, 1, Focus, [64, 3]]\n"
                            "  - [-1, 1, Conv, [128, 3, 2]]\n"
                            "  - [-1, 1, Conv, [256, 3, 2]]\n"
                            "  - [-1, 3, BottleneckCSP, [256]]\n"
                            "  - [-1, 1, Conv, [512, 3, 2]]\n"
                            "  - [-1, 1, Conv, [1024, 3, 2]]\n"
                            "  - [-1, 1, SPP, [1024, [5, 9, 13]]]\n"
                            "head:\n"
                            "  - [[3, 4, 6], 1, Detect, [nc, anchors]]\n";
/* More than a worker gets in one piece before it has shown that it reads. */
enum { WEIGHTS_BYTES = 200000 };

static status make_data(const theatre *t, const char *name, const char *pictures)
{
    char *program = path_join(t->plain, "shapes"), *folder = path_join(t->scene, name),
         *log = path_join(t->scene, "log");
    status s = program && folder && log ? OK : FAIL(ERR_MEMORY, "out of memory");
    const char *const arguments[] = {program, "--out", folder, "--train", pictures, "--val", "8", "--size", "64", NULL};
    if (s == OK && stage_run(arguments, log)) s = FAIL(ERR_IO, "%s does not make a data set; see %s", program, log);
    free(program);
    free(folder);
    free(log);
    return s;
}

static status write_file(const theatre *t, const char *name, const void *bytes, size_t count)
{
    char *path = path_join(t->scene, name);
    status s = path ? fs_write(path, bytes, count) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    return s;
}

status scene_make(const theatre *t)
{
    TRY(fs_make_folders(t->scene, 0777));
    TRY(make_data(t, "data", "16"));
    TRY(make_data(t, "other", "12"));
    TRY(write_file(t, "tiny.yaml", model, sizeof model - 1));
    char *weights = malloc(WEIGHTS_BYTES);
    if (!weights) return FAIL(ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < WEIGHTS_BYTES; i++) weights[i] = (char)splitmix64(i);
    status s = write_file(t, "weights.pt", weights, WEIGHTS_BYTES);
    free(weights);
    return s;
}
