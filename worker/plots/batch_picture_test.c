/* batch_picture.c: what lies where on the page. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "worker/plots/batch_picture.h"
#include "worker/plots/test_pictures.h"

static char folder[] = "/tmp/mendel-batch-XXXXXX";
static const int red[3] = {200, 30, 30}, blue[3] = {31, 120, 181}, orange[3] = {255, 128, 13},
                 white[3] = {255, 255, 255};

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return fs_remove(folder) == OK ? 0 : -1;
}

/* Draw, and read what came of it. */
static image draw(const batch_picture *b)
{
    text jpeg = {0};
    int width, height;
    image seen;
    char *path = path_join(folder, "batch.jpg");
    assert_int_equal(batch_picture_draw(b, &jpeg, &width, &height), OK);
    assert_int_equal(fs_write(path, jpeg.bytes, jpeg.length), OK);
    assert_true(test_picture_read(path, &seen));
    assert_int_equal(seen.width, width);
    assert_int_equal(seen.height, height);
    text_free(&jpeg);
    free(path);
    return seen;
}

/* `images` red pictures. */
static batch_picture red_batch(int images, int width, int height)
{
    size_t pixels = (size_t)images * (size_t)width * (size_t)height;
    uint8_t *bytes = malloc(3 * pixels);
    assert_non_null(bytes);
    for (size_t i = 0; i < 3 * pixels; i++) bytes[i] = (uint8_t)red[i % 3];
    return (batch_picture){.pixels = bytes, .images = images, .height = height, .width = width};
}

static void pictures_stand_in_rows(void **state)
{
    (void)state;
    static const struct {
        int images, width, height, page_width, page_height, shown;
    } cases[] = {
        {1, 640, 640, 644, 644, 1},     {5, 300, 150, 908, 306, 5}, {16, 640, 480, 1278, 960, 16},
        {40, 320, 320, 1278, 1278, 16}, {2, 64, 64, 486, 244, 2},   {1, 3000, 1000, 1280, 430, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        batch_picture b = red_batch(cases[i].images, cases[i].width, cases[i].height);
        image seen = draw(&b);
        assert_in_range(seen.width, cases[i].page_width - 4, cases[i].page_width + 4);
        assert_in_range(seen.height, cases[i].page_height - 4, cases[i].page_height + 8);
        int covered = test_picture_count(&seen, red, 12, 0, 0, seen.width, seen.height);
        double columns = ceil(sqrt(cases[i].shown)), rows = ceil(cases[i].shown / columns);
        double part = cases[i].shown / (columns * rows), share = covered / ((double)seen.width * seen.height);
        assert_true(share > part * 0.95 && share <= part);
        image_free(&seen);
        free((void *)b.pixels);
    }
}

static void boxes_lie_on_their_own_picture_in_their_class_s_colour(void **state)
{
    (void)state;
    char *names[] = {"first", "second"};
    batch_picture b = red_batch(2, 300, 300);
    const picture_box boxes[] = {{0, 50, 100, 150, 200, 0, -1}, {1, 100, 50, 200, 250, 1, 0.75f}};
    b.boxes = boxes;
    b.box_count = 2;
    b.names = names;
    b.classes = 2;
    image seen = draw(&b);
    assert_true(test_picture_count(&seen, blue, 40, 45, 80, 160, 210) > 300); /* a frame, and a label above it */
    assert_int_equal(test_picture_count(&seen, blue, 40, 304, 0, seen.width, seen.height), 0);
    assert_int_equal(test_picture_count(&seen, blue, 40, 60, 120, 140, 190), 0); /* nothing inside */
    assert_true(test_picture_count(&seen, orange, 40, 304 + 95, 30, 304 + 210, 260) > 300);
    assert_int_equal(test_picture_count(&seen, orange, 40, 0, 0, 300, seen.height), 0);
    assert_true(test_picture_count(&seen, white, 60, 50, 84, 150, 102) > 10); /* words */
    image_free(&seen);
    free((void *)b.pixels);
}

/* A label at an edge is moved inside; numbers beyond any picture, or none at all, do no harm. */
static void strange_boxes_do_no_harm(void **state)
{
    (void)state;
    batch_picture b = red_batch(2, 300, 300);
    const picture_box boxes[] = {
        {0, 0, 0, 40, 30, 3, -1},
        {0, 280, 290, 300, 300, 3, 0.5f},
        {0, NAN, 0, 10, 10, 0, -1},
        {0, -1e30f, -5, 1e30f, 8, 1, 1},
        {7, 0, 0, 10, 10, 0, -1},
        {-1, 0, 0, 10, 10, 0, -1},
        {0, 100, 100, 90, 80, -5, INFINITY},
    };
    const char *files[] = {"a\xff picture whose name is longer than forty characters.jpg", ""};
    b.boxes = boxes;
    b.box_count = sizeof boxes / sizeof *boxes;
    b.files = files;
    image seen = draw(&b);
    assert_true(test_picture_count(&seen, white, 60, 2, 2, 40, 18) > 5);       /* the label of the box in the corner */
    assert_true(test_picture_count(&seen, white, 60, 2, 286, 300, 302) > 100); /* the file's name */
    assert_true(test_picture_count(&seen, red, 12, 304, 2, 604, 302) > 300 * 300 * 9 / 10); /* the other one is clean */
    image_free(&seen);
    free((void *)b.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_stand_in_rows),
        cmocka_unit_test(boxes_lie_on_their_own_picture_in_their_class_s_colour),
        cmocka_unit_test(strange_boxes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
