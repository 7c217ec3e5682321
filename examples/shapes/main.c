/* shapes - write a small data set of pictures with discs, squares and triangles, in YOLO's layout. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/options.h"
#include "common/signals.h"
#include "examples/shapes/dataset.h"

#define ROWS(ROW)                                                                                                      \
    ROW(dataset_options, out, STRING, "out", "", "shapes", 0, 0, "DIR", "the folder to make")                          \
    ROW(dataset_options, train, INT, "train", "", "160", 1, 10000, "N", "pictures to train with")                      \
    ROW(dataset_options, val, INT, "val", "", "48", 1, 10000, "N", "pictures to validate with")                        \
    ROW(dataset_options, size, INT, "size", "", "256", 64, 4096, "W",                                                  \
        "width of the pictures in pixels; the height is three quarters of it")                                         \
    ROW(dataset_options, seed, INT, "seed", "", "1", 0, 4294967295.0, "S", "the same seed gives the same pictures")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static const char about[] =
    "Write a data set of pictures with discs, squares and triangles on textured grounds, for trials\n"
    "of detectors: DIR/images, DIR/labels and DIR/shapes.yaml. The same command again changes nothing.";

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

int main(int argc, char **argv)
{
    dataset_options o;
    option_section section = {"options", rows, sizeof rows / sizeof *rows, &o, NULL};
    if (wants_help(argc, argv)) {
        options_help(&section, 1, "shapes [options]", about, stdout);
        return 0;
    }
    bool made = false;
    status s = options_defaults(&section, 1);
    if (s == OK) s = options_parse(&section, 1, argc, argv, NULL);
    if (s == OK && !*o.out) s = FAIL(ERR_ARGUMENT, "--out: a folder was expected, found ''");
    if (s == OK) s = signals_start();
    if (s == OK) s = dataset_make(&o, &made);
    if (s == OK && made)
        printf("%s/shapes.yaml: %lld pictures to train with, %lld to validate\n", o.out, (long long)o.train,
               (long long)o.val);
    else if (s == OK) printf("%s/shapes.yaml: is there already\n", o.out);
    else log_error("%s", status_message());
    options_free(&section, 1);
    return s == OK ? 0 : s == ERR_STOPPED ? 130 : 1;
}
