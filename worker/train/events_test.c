/* events.c: event files as TensorBoard reads them. The reference's own tags and numbers are in the fixtures
 * (tests/parity/formats.c); TensorBoard's reader itself is asked in tests/interop. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/train/events.h"
#include "worker/train/test_events.h"

static char folder[] = "/tmp/mendel-events-XXXXXX";
static events *e;

static int make_folder(void **state)
{
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    return mkdtemp(folder) && events_open(folder, &e) == OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    events_close(&e);
    return fs_remove(folder) == OK ? 0 : -1;
}

static event_list read_all(void)
{
    event_list list;
    char *path = test_events_find(folder);
    assert_non_null(path);
    if (test_events_read(path, &list) != OK) fail_msg("%s", status_message());
    free(path);
    return list;
}

static const Events__Summary__Value *value_of(const event_list *list, size_t at)
{
    assert_true(at < list->count);
    assert_int_equal(list->items[at]->what_case, EVENTS__EVENT__WHAT_SUMMARY);
    assert_int_equal(list->items[at]->summary->n_value, 1);
    return list->items[at]->summary->value[0];
}

static void a_file_starts_with_its_version(void **state)
{
    (void)state;
    event_list list = read_all(); /* before anything else was written */
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0]->what_case, EVENTS__EVENT__WHAT_FILE_VERSION);
    assert_string_equal(list.items[0]->file_version, "brain.Event:2");
    assert_true(list.items[0]->wall_time > 1.6e9);
    test_events_free(&list);
}

static void known_bytes_have_their_known_checksum(void **state)
{
    (void)state; /* of RFC 3720: 32 zeros have the CRC-32C 0x8a9136aa */
    uint8_t zeros[32] = {0};
    assert_int_equal(test_events_checksum(zeros, 32), (uint32_t)((0x8a9136aaU >> 15 | 0x8a9136aaU << 17) + 0xa282ead8));
}

static void scalars_come_back_when_they_are_flushed(void **state)
{
    (void)state;
    events_scalar(e, "metrics/precision", 7, 0.1);
    events_scalar(e, "x/lr0", 0, -1e-30);
    event_list list = read_all();
    assert_int_equal(list.count, 1);
    test_events_free(&list);
    assert_int_equal(events_flush(e), OK);
    list = read_all();
    assert_int_equal(list.count, 3);
    assert_string_equal(value_of(&list, 1)->tag, "metrics/precision");
    assert_int_equal(value_of(&list, 1)->value_case, EVENTS__SUMMARY__VALUE__VALUE_SIMPLE_VALUE);
    assert_true(value_of(&list, 1)->simple_value == 0.1f);
    assert_int_equal(list.items[1]->step, 7);
    assert_true(value_of(&list, 2)->simple_value == -1e-30f);
    test_events_free(&list);
}

static void an_epoch_is_thirteen_numbers(void **state)
{
    (void)state;
    results_row row = {.epoch = 4, .epochs = 9, .losses = {1, 2, 3, 6}, .metrics = {4, 5, 6, 7, 8, 9, 10}};
    events_epoch(e, &row, (double[]){11, 12, 13});
    assert_int_equal(events_flush(e), OK);
    event_list list = read_all();
    assert_int_equal(list.count, 14);
    for (size_t i = 1; i < list.count; i++) {
        assert_int_equal(list.items[i]->step, 4);
        assert_true(value_of(&list, i)->simple_value == (float)i);
    }
    assert_string_equal(value_of(&list, 1)->tag, "train/giou_loss");
    assert_string_equal(value_of(&list, 13)->tag, "x/lr2");
    test_events_free(&list);
}

static void pictures_are_carried_as_they_are(void **state)
{
    (void)state;
    static uint8_t file[70000];
    for (size_t i = 0; i < sizeof file; i++) file[i] = (uint8_t)(i * 7);
    events_image(e, "runs/exp0/train_batch0.jpg", 2, 640, 480, file, sizeof file);
    assert_int_equal(events_flush(e), OK);
    event_list list = read_all();
    const Events__Summary__Value *v = value_of(&list, 1);
    assert_int_equal(v->value_case, EVENTS__SUMMARY__VALUE__VALUE_IMAGE);
    assert_int_equal(v->image->width, 640);
    assert_int_equal(v->image->height, 480);
    assert_int_equal(v->image->colorspace, 3);
    assert_int_equal(v->image->encoded_image_string.len, sizeof file);
    assert_memory_equal(v->image->encoded_image_string.data, file, sizeof file);
    test_events_free(&list);
}

/* What SummaryWriter makes of the classes 0, 0, 1, 4: buckets by powers of 1.1, trimmed to those in use and an empty one before. */
static void a_histogram_has_the_buckets_of_the_reference(void **state)
{
    (void)state;
    events_histogram(e, "classes", 0, (double[]){1, 0, 4, 0}, 4);
    events_histogram(e, "nothing", 0, NULL, 0);
    assert_int_equal(events_flush(e), OK);
    event_list list = read_all();
    assert_int_equal(list.count, 2);
    const Events__Summary__Value *v = value_of(&list, 1);
    assert_string_equal(v->tag, "classes");
    const Events__HistogramProto *h = v->histo;
    assert_true(h->min == 0 && h->max == 4 && h->num == 4 && h->sum == 5 && h->sum_squares == 17);
    assert_int_equal(h->n_bucket, h->n_bucket_limit);
    assert_true(h->bucket[0] == 0 && h->bucket_limit[0] == 0);
    assert_true(h->bucket[1] == 2 && h->bucket_limit[1] == 1e-12);
    double sum = 0;
    for (size_t i = 1; i < h->n_bucket; i++) {
        sum += h->bucket[i];
        assert_true(h->bucket_limit[i] > h->bucket_limit[i - 1]);
        if (h->bucket[i] == 1) /* values lie between the limits before and behind their bucket's count */
            assert_true((h->bucket_limit[i - 1] <= 1 && h->bucket_limit[i] > 1) ||
                        (h->bucket_limit[i - 1] <= 4 && h->bucket_limit[i] > 4));
    }
    assert_true(sum == 4 && h->bucket[h->n_bucket - 1] == 1);
    assert_true(fabs(h->bucket_limit[h->n_bucket - 1] / h->bucket_limit[h->n_bucket - 2] - 1.1) < 1e-9);
    test_events_free(&list);
}

static void negative_and_huge_values_have_their_place(void **state)
{
    (void)state;
    events_histogram(e, "h", 0, (double[]){-3, 1e30, -1e30, 1e-300}, 4);
    events_histogram(e, "one", 0, (double[]){-2}, 1);
    assert_int_equal(events_flush(e), OK);
    event_list list = read_all();
    const Events__HistogramProto *h = value_of(&list, 1)->histo;
    double sum = 0;
    for (size_t i = 0; i < h->n_bucket; i++) sum += h->bucket[i];
    assert_true(sum == 4 && h->min == -1e30 && h->max == 1e30);
    h = value_of(&list, 2)->histo;
    assert_int_equal(h->n_bucket, 2);
    assert_true(h->bucket_limit[0] <= -2 && h->bucket_limit[1] > -2);
    test_events_free(&list);
}

static void a_full_disk_leaves_whole_records(void **state)
{
    (void)state;
    struct rlimit before, small;
    events_scalar(e, "first", 0, 1);
    assert_int_equal(events_flush(e), OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 150; /* the version and one number fit, a picture does not */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint8_t file[1000] = {0};
    events_image(e, "picture", 0, 1, 1, file, sizeof file);
    status s = events_flush(e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(s, OK);
    assert_non_null(strstr(status_message(), "events.out.tfevents."));
    events_scalar(e, "second", 1, 1);
    assert_int_equal(events_flush(e), OK);
    event_list list = read_all();
    assert_int_equal(list.count, 3);
    assert_string_equal(value_of(&list, 2)->tag, "second");
    test_events_free(&list);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    events *none;
    char *path = path_join(folder, "none");
    assert_int_equal(events_open(path, &none), ERR_NOT_FOUND);
    assert_null(none);
    events_close(&none);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_starts_with_its_version, make_folder, remove_folder),
        cmocka_unit_test(known_bytes_have_their_known_checksum),
        cmocka_unit_test_setup_teardown(scalars_come_back_when_they_are_flushed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_epoch_is_thirteen_numbers, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(pictures_are_carried_as_they_are, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_histogram_has_the_buckets_of_the_reference, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(negative_and_huge_values_have_their_place, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_whole_records, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_an_error, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
