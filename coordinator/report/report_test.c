/* report.c: the files that a run leaves. That evolve.png is good to look at is for eyes; here it is looked at for what must be
 * in it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cairo/cairo.h>
#include <cmocka.h>

#include "common/fs.h"
#include "common/rng.h"
#include "coordinator/report/report.h"

static char folder[] = "/tmp/mendel-report-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : -1;
}

static char *in_folder(const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

/* `count` members around the defaults; perspective and others stay constant. */
static void fill(population *p, const hyp_space *space, int count)
{
    keyed_rng r;
    keyed_seed(&r, 4, 0, 0);
    population_start(p, space, fitness_weights_default);
    for (int i = 1; i <= count; i++) {
        member m = {.candidate = i};
        hyp_defaults(space, false, m.hyps);
        for (size_t k = 0; k < space->count; k++) m.hyps[k] *= exp(0.3 * space->rows[k].gain * keyed_normal(&r));
        for (int k = 0; k < RESULT_COUNT; k++) m.results[k] = keyed_random(&r);
        assert_int_equal(population_add(p, &m), OK);
    }
}

static void both_texts_are_written_and_replaced(void **state)
{
    (void)state;
    hyp_space space;
    hyp_space_default(&space);
    char *evolve = in_folder("evolve.txt"), *best = in_folder("hyp_evolved.yaml"), *bytes;
    for (int count = 2; count < 5; count++) {
        population p;
        text want = {0};
        size_t length;
        fill(&p, &space, count);
        assert_int_equal(report_write(&p, folder), OK);
        assert_int_equal(population_evolve_txt(&p, &want), OK);
        assert_int_equal(fs_read(evolve, 0, &bytes, &length), OK);
        assert_string_equal(bytes, want.bytes);
        free(bytes);
        text_clear(&want);
        assert_int_equal(population_hyp_evolved(&p, &want), OK);
        assert_int_equal(fs_read(best, 0, &bytes, &length), OK);
        assert_string_equal(bytes, want.bytes);
        free(bytes);
        double hyps[HYP_MAX]; /* and it is a hyp file that a training takes */
        assert_int_equal(hyp_read(best, &space, hyps), OK);
        text_free(&want);
        population_free(&p);
    }
    fs_names names;
    assert_int_equal(fs_list(folder, &names), OK);
    assert_int_equal(names.count, 2); /* nothing half-written beside them */
    fs_names_free(&names);
    free(evolve);
    free(best);
}

static void without_a_member_nothing_is_written(void **state)
{
    (void)state;
    hyp_space space;
    hyp_space_default(&space);
    population p;
    fill(&p, &space, 0);
    char *png = in_folder("evolve.png");
    fs_names names;
    assert_int_equal(report_write(&p, folder), OK);
    assert_int_equal(report_plot(&p, png), OK);
    assert_int_equal(fs_list(folder, &names), OK);
    assert_int_equal(names.count, 0);
    fs_names_free(&names);
    free(png);
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    hyp_space space;
    hyp_space_default(&space);
    population p;
    fill(&p, &space, 3);
    char *none = in_folder("none"), *png = in_folder("none/evolve.png");
    assert_int_equal(report_write(&p, none), ERR_NOT_FOUND);
    assert_non_null(strstr(status_message(), "none/evolve.txt"));
    assert_int_equal(report_plot(&p, png), ERR_NOT_FOUND);
    free(none);
    free(png);
    population_free(&p);
}

static bool is_mark(unsigned red, unsigned green, unsigned blue)
{
    return red > 180 && green < 90 && blue < 90;
}

/* The colour of the last, painted over and over: what is seen through the points is gone. */
static bool is_thick(unsigned red, unsigned green, unsigned blue)
{
    return red < 20 && green > 40 && green < 56 && blue > 97 && blue < 117;
}

static int count_pixels(const char *path, bool (*counts)(unsigned, unsigned, unsigned), int *width, int *height)
{
    cairo_surface_t *picture = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(picture), CAIRO_STATUS_SUCCESS);
    *width = cairo_image_surface_get_width(picture);
    *height = cairo_image_surface_get_height(picture);
    int stride = cairo_image_surface_get_stride(picture), count = 0;
    const unsigned char *pixels = cairo_image_surface_get_data(picture);
    for (int y = 0; y < *height; y++)
        for (int x = 0; x < *width; x++) {
            uint32_t pixel;
            memcpy(&pixel, pixels + (size_t)y * (size_t)stride + 4 * (size_t)x, sizeof pixel);
            count += counts(pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255);
        }
    cairo_surface_destroy(picture);
    return count;
}

/* Pixels of the picture that have the red of the best's mark. */
static int count_marks(const char *path, int *width, int *height)
{
    return count_pixels(path, is_mark, width, height);
}

static void every_panel_marks_the_best_for_any_number_of_rows(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 12, 500};
    hyp_space space;
    hyp_space_default(&space);
    char *path = in_folder("evolve.png");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        population p;
        int width, height;
        fill(&p, &space, counts[i]);
        assert_int_equal(report_plot(&p, path), OK);
        int marks = count_marks(path, &width, &height);
        int one = marks / (int)(space.count + 1); /* a panel each, and the key */
        assert_in_range(one, 40, 120);            /* a ring of radius 7, 2 wide */
        assert_in_range(width, 1000, 2000);
        assert_in_range(height, 1000, 2000);
        population_free(&p);
    }
    free(path);
}

static void a_space_of_one_or_of_very_many_is_drawn_too(void **state)
{
    (void)state;
    hyp_space space;
    hyp_space_default(&space);
    char *path = in_folder("evolve.png");
    population p;
    int width, height;
    space.count = 1;
    memset(space.rows[0].key, 'm', HYP_KEY_ROOM - 1); /* the longest title */
    fill(&p, &space, 5);
    assert_int_equal(report_plot(&p, path), OK);
    assert_true(count_marks(path, &width, &height) > 80);
    population_free(&p);
    space.count = HYP_MAX;
    for (size_t i = 1; i < HYP_MAX; i++) space.rows[i] = space.rows[0];
    fill(&p, &space, 5);
    assert_int_equal(report_plot(&p, path), OK);
    assert_true(count_marks(path, &width, &height) > 40 * HYP_MAX);
    population_free(&p);
    free(path);
}

/* All at one spot: 200 dots there are as thick as paint, in a crowd only one is drawn. */
static void of_a_crowd_at_one_spot_only_the_last_is_drawn(void **state)
{
    (void)state;
    static const int counts[] = {200, 6000};
    hyp_space space;
    hyp_space_default(&space);
    char *path = in_folder("evolve.png");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        population p;
        member m = {0};
        int width, height;
        population_start(&p, &space, fitness_weights_default);
        hyp_defaults(&space, false, m.hyps);
        for (m.candidate = 1; m.candidate <= counts[i]; m.candidate++) assert_int_equal(population_add(&p, &m), OK);
        assert_int_equal(report_plot(&p, path), OK);
        size_t thick = (size_t)count_pixels(path, is_thick, &width, &height); /* the key has some of it */
        assert_int_equal(thick > 20 * space.count, counts[i] == 200);
        assert_true(count_marks(path, &width, &height) > 0);
        population_free(&p);
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_texts_are_written_and_replaced, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(without_a_member_nothing_is_written, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written_is_an_error, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(every_panel_marks_the_best_for_any_number_of_rows, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_space_of_one_or_of_very_many_is_drawn_too, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(of_a_crowd_at_one_spot_only_the_last_is_drawn, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
