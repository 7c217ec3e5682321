/* canvas.c: what is drawn is looked at by people; here: that nothing put into it breaks a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/draw/canvas.h"
#include "common/fs.h"

static char folder[] = "/tmp/mendel-canvas-XXXXXX";
static canvas page;

static int start_page(void **state)
{
    (void)state;
    return canvas_create(&page, 200, 100) == OK ? 0 : -1;
}

static int end_page(void **state)
{
    (void)state;
    canvas_free(&page);
    return 0;
}

/* Dark pixels within columns `left` to `right`. */
static int count_ink(int left, int right)
{
    int stride, ink = 0;
    const unsigned char *pixels = canvas_pixels(&page, &stride);
    for (int y = 0; y < page.height; y++)
        for (int x = left; x < right; x++) ink += pixels[y * stride + 4 * x + 1] < 128;
    return ink;
}

static void text_stays_in_its_room(void **state)
{
    (void)state;
    canvas_colour(&page, colour_ink);
    canvas_text(&page, 10, 50, 20, 80, ALIGN_LEFT, "far too long a title for so narrow a place");
    assert_true(count_ink(0, 100) > 0);
    assert_int_equal(count_ink(100, 200), 0);
    canvas_text(&page, 190, 50, 20, 80, ALIGN_RIGHT, "far too long a title for so narrow a place");
    assert_true(count_ink(100, 200) > 0);
    assert_int_equal(count_ink(95, 105), 0);
}

/* Names of classes and files come from elsewhere. */
static void text_that_is_no_utf8_does_no_harm(void **state)
{
    (void)state;
    canvas_text(&page, 10, 50, 20, 80, ALIGN_LEFT, "caf\xe9 \xff\xc3");
    canvas_text_up(&page, 150, 90, 20, 80, ALIGN_LEFT, "\x80\n\t");
    assert_int_equal(canvas_status(&page, "it"), OK);
    canvas_colour(&page, colour_ink);
    canvas_dot(&page, 180, 50, 5);
    assert_true(count_ink(170, 190) > 50);
}

static void a_shape_begins_apart_from_the_text_before(void **state)
{
    (void)state;
    canvas_colour(&page, colour_ink);
    canvas_text(&page, 10, 50, 10, 80, ALIGN_LEFT, "text");
    canvas_ring(&page, 180, 50, 5);
    assert_int_equal(count_ink(60, 160), 0);
}

static void a_page_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    char *path = path_join(folder, "page.png"), *none = path_join(folder, "none/page.png");
    assert_int_equal(canvas_write_png(&page, path), OK);
    assert_int_equal(canvas_write_png(&page, none), ERR_NOT_FOUND);
    cairo_surface_t *read = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_image_surface_get_width(read), 200);
    assert_int_equal(cairo_image_surface_get_height(read), 100);
    cairo_surface_destroy(read);
    fs_names names;
    assert_int_equal(fs_list(folder, &names), OK);
    assert_int_equal(names.count, 1);
    fs_names_free(&names);
    assert_int_equal(fs_remove(folder), OK);
    free(path);
    free(none);
}

static void a_page_too_large_is_refused(void **state)
{
    (void)state;
    canvas huge;
    assert_int_not_equal(canvas_create(&huge, 1 << 20, 1 << 20), OK);
    canvas_free(&huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_stays_in_its_room, start_page, end_page),
        cmocka_unit_test_setup_teardown(text_that_is_no_utf8_does_no_harm, start_page, end_page),
        cmocka_unit_test_setup_teardown(a_shape_begins_apart_from_the_text_before, start_page, end_page),
        cmocka_unit_test_setup_teardown(a_page_is_written_whole_or_not_at_all, start_page, end_page),
        cmocka_unit_test(a_page_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
