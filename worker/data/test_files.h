/* test_files.h - small data sets that the tests of this folder write, and what they ask of them. Everything fails the test when it
 * cannot be done. Include after cmocka.h. */
#ifndef DATA_TEST_FILES_H
#define DATA_TEST_FILES_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "common/data_yaml.h"
#include "common/fs.h"
#include "common/log.h"
#include "worker/data/image.h"

/* ---- folders and files ---- */

/* A new folder; the caller ends it with test_remove. */
static inline char *test_folder(void)
{
    char *folder = strdup("/tmp/mendel-data-XXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static inline void test_remove(char *folder)
{
    assert_int_equal(fs_remove(folder), OK);
    free(folder);
}

/* folder/name; one of eight names in turn, so that a call can hold several. */
static inline const char *test_path(const char *folder, const char *format, ...)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next = (next + 1) % 8];
    int length = snprintf(path, sizeof paths[0], "%s/", folder);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + length, sizeof paths[0] - (size_t)length, format, arguments);
    va_end(arguments);
    return path;
}

/* Into a folder that is made when missing. Always a new file: fs_write, and ext4 where a file is cut and written again, would wait
 * for the disk. */
static inline void test_write(const char *path, const void *bytes, size_t count)
{
    char *folder = path_folder(path);
    assert_int_equal(fs_make_folders(folder, 0755), OK);
    free(folder);
    unlink(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, count, f), count);
    assert_int_equal(fclose(f), 0);
}

static inline void test_write_text(const char *path, const char *text)
{
    test_write(path, text, strlen(text));
}

static inline char *test_read(const char *path, size_t *count)
{
    char *bytes;
    assert_int_equal(fs_read(path, 0, &bytes, count), OK);
    return bytes;
}

/* ---- pictures ---- */

/* A colour ramp that differs with `variant`: smooth, so that a JPEG keeps it. */
static inline void test_pixels(int width, int height, int variant, uint8_t *rgb)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *p = rgb + 3 * ((size_t)y * (size_t)width + (size_t)x);
            p[0] = (uint8_t)(255 * x / width);
            p[1] = (uint8_t)(255 * y / height);
            p[2] = (uint8_t)(37 * variant % 256);
        }
}

/* The bytes of a JPEG; tjFree ends it. */
static inline uint8_t *test_jpeg_bytes(int width, int height, int variant, unsigned long *count)
{
    uint8_t *rgb = malloc(image_bytes(width, height)), *bytes = NULL;
    tjhandle turbo = tjInitCompress();
    assert_true(rgb && turbo);
    test_pixels(width, height, variant, rgb);
    *count = 0;
    assert_int_equal(tjCompress2(turbo, rgb, width, 0, height, TJPF_RGB, &bytes, count, TJSAMP_444, 95, 0), 0);
    tjDestroy(turbo);
    free(rgb);
    return bytes;
}

static inline void test_jpeg(const char *path, int width, int height, int variant)
{
    unsigned long count;
    uint8_t *bytes = test_jpeg_bytes(width, height, variant, &count);
    test_write(path, bytes, count);
    tjFree(bytes);
}

/* ---- data sets ---- */

/* folder/images/train and labels/train with `count` pictures a00.jpg, a01.jpg ... of 64 x 48 and the like (every third stands
 * upright), each with one to three labels, and folder/data.yaml with 3 classes, where val is the same as train. */
static inline void test_data_set(const char *folder, int count)
{
    for (int i = 0; i < count; i++) {
        char labels[256];
        int length = 0;
        for (int k = 0; k <= i % 3; k++)
            length += snprintf(labels + length, sizeof labels - (size_t)length, "%d %g %g %g %g\n", (i + k) % 3,
                               0.3 + 0.1 * k, 0.4 + 0.05 * k, 0.2 + 0.01 * i, 0.3);
        test_jpeg(test_path(folder, "images/train/a%02d.jpg", i), i % 3 ? 64 + i : 48, i % 3 ? 48 : 64, i);
        test_write_text(test_path(folder, "labels/train/a%02d.txt", i), labels);
    }
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "train: %s/images/train\nval: %s/images/train\nnc: 3\nnames: ['x', 'y', 'z']\n", folder,
             folder);
    test_write_text(test_path(folder, "data.yaml"), yaml);
}

static inline void test_data_yaml(const char *folder, data_yaml *out)
{
    assert_int_equal(data_yaml_read(test_path(folder, "data.yaml"), out), OK);
}

/* ---- what is said ---- */

/* From here to test_heard, what is written to standard error goes to a file in `folder`. */
static inline int test_listen(const char *folder)
{
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    assert_true(before >= 0);
    assert_non_null(freopen(test_path(folder, "heard.txt"), "w", stderr));
    return before;
}

/* What was written; the caller frees it. */
static inline char *test_heard(const char *folder, int before)
{
    size_t count;
    fflush(stderr);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    return test_read(test_path(folder, "heard.txt"), &count);
}

#endif
