/* loader.c, and maker.c and sample.c behind it: batches are the same for any number of threads, and nothing hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/hyp.h"
#include "worker/data/loader.h"
#include "worker/data/test_files.h"

enum { PICTURES = 11, SIZE = 64, SECONDS_MOST = 60 };
static char *folder;
static data_yaml yaml;
static dataset *data;
static double hyp[HYP_COUNT];

static int start(void **state)
{
    (void)state;
    hyp_space space;
    alarm(SECONDS_MOST); /* a hang ends the test */
    log_set_level(LEVEL_ERROR);
    folder = test_folder();
    test_data_set(folder, PICTURES);
    test_data_yaml(folder, &yaml);
    assert_int_equal(dataset_create(&yaml, DATA_TRAIN, &(dataset_options){.no_cache = true}, &data), OK);
    hyp_space_default(&space);
    hyp_defaults(&space, false, hyp);
    hyp[HYP_mixup] = 0.5;
    hyp[HYP_degrees] = 10;
    hyp[HYP_flipud] = 0.5;
    return 0;
}

static int end(void **state)
{
    (void)state;
    dataset_destroy(&data);
    data_yaml_free(&yaml);
    test_remove(folder);
    alarm(0);
    return 0;
}

static const loader_options training =
    {.batch = 4, .image_size = SIZE, .stride = 32, .augment = true, .shuffle = true, .seed = 3, .hyp = hyp};
static const loader_options validation = {.batch = 4, .image_size = SIZE, .stride = 32, .rect = true, .seed = 3};

static loader *create(loader_options options, int threads)
{
    loader *l;
    options.threads = threads;
    if (loader_create(&l, data, &options) != OK) fail_msg("%s", status_message());
    return l;
}

/* ---- the same for any number of threads ---- */

/* Everything that comes out of two epochs, as one hash. */
static void hash_epochs(loader *l, char hash[FS_HASH_ROOM])
{
    text all = {0};
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        const batch *b;
        status s;
        assert_int_equal(loader_start_epoch(l, epoch, NULL), OK);
        while ((s = loader_next(l, &b)) == OK) {
            size_t count = (size_t)b->count;
            text_add(&all, "%d %d %d %d", b->count, b->height, b->width, b->target_count);
            text_add_bytes(&all, b->images, count * image_bytes(b->width, b->height));
            text_add_bytes(&all, b->targets, (size_t)b->target_count * LOADER_TARGET_COLUMNS * sizeof *b->targets);
            text_add_bytes(&all, b->index, count * sizeof *b->index);
            if (b->origin) text_add_bytes(&all, b->origin, count * sizeof *b->origin);
        }
        assert_int_equal(s, ERR_END);
        assert_int_equal(loader_next(l, &b), ERR_END);
        assert_null(b);
    }
    assert_int_equal(text_status(&all), OK);
    fs_hash_bytes(all.bytes, all.length, hash);
    text_free(&all);
}

static void batches_are_the_same_for_any_number_of_threads(void **state)
{
    (void)state;
    loader_options kinds[] = {training, validation, training, training};
    kinds[2].rect = true;
    kinds[3].shuffle = false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int cached = 0; cached < 2; cached++) {
            char want[FS_HASH_ROOM], got[FS_HASH_ROOM];
            static const int threads[] = {0, 1, 3, 8};
            for (int t = 0; t < 4; t++) {
                kinds[k].cache = cached;
                loader *l = create(kinds[k], threads[t]);
                hash_epochs(l, t ? got : want);
                if (t && strcmp(got, want)) fail_msg("kind %zu, %d threads: %s, not %s", k, threads[t], got, want);
                loader_destroy(&l);
                assert_null(l);
            }
        }
}

static void the_seed_and_the_epoch_change_what_comes(void **state)
{
    (void)state;
    char a[FS_HASH_ROOM], b[FS_HASH_ROOM];
    loader_options other = training;
    other.seed++;
    loader *l = create(training, 2), *m = create(other, 2);
    hash_epochs(l, a);
    hash_epochs(m, b);
    assert_string_not_equal(a, b);
    hash_epochs(l, b); /* and going through once more does not */
    assert_string_equal(a, b);
    loader_destroy(&l);
    loader_destroy(&m);
}

/* ---- what an epoch holds ---- */

static void every_picture_comes_once_and_the_last_batch_is_kept(void **state)
{
    (void)state;
    for (int rect = 0; rect < 2; rect++) {
        loader_options o = rect ? validation : training;
        loader *l = create(o, 3);
        int seen[PICTURES] = {0}, batches = 0, last = 0, count, height, width;
        const batch *b;
        loader_largest(l, &count, &height, &width);
        assert_int_equal(loader_batches(l), 3);
        assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
        while (loader_next(l, &b) == OK) {
            assert_true(b->count <= count && b->height * b->width <= height * width);
            for (int i = 0; i < b->count; i++) seen[b->index[i]]++;
            last = b->count;
            batches++;
        }
        assert_true(batches == 3 && last == PICTURES % 4);
        for (int i = 0; i < PICTURES; i++) assert_int_equal(seen[i], 1);
        loader_destroy(&l);
    }
}

/* Image `i` of a batch, its targets and which picture it is, are those of image `k` of another. */
static void expect_same_image(const batch *a, int i, const batch *b, int k)
{
    size_t bytes = (size_t)a->height * (size_t)a->width * 3;
    assert_true(a->height == b->height && a->width == b->width && a->index[i] == b->index[k]);
    assert_memory_equal(a->images + (size_t)i * bytes, b->images + (size_t)k * bytes, bytes);
    int n = 0, m = 0, ends[2] = {a->target_count, b->target_count};
    for (;; n++, m++) {
        while (n < ends[0] && a->targets[6 * n] != (float)i) n++;
        while (m < ends[1] && b->targets[6 * m] != (float)k) m++;
        assert_int_equal(n < ends[0], m < ends[1]);
        if (n >= ends[0]) return;
        assert_memory_equal(a->targets + 6 * n + 1, b->targets + 6 * m + 1, 5 * sizeof *a->targets);
    }
}

/* All ranks' batches together are the batches of one loader, until the pictures do not go round. */
static void compare_ranks(loader_options o, int ranks, const int *order)
{
    enum { EACH = 2, RANKS_MOST = 3 };
    loader *whole, *part[RANKS_MOST];
    int seen = 0, places = 0;
    o.batch = EACH * ranks;
    whole = create(o, 2);
    o.batch = EACH;
    o.ranks = ranks;
    for (o.rank = 0; o.rank < ranks; o.rank++) {
        part[o.rank] = create(o, 2);
        assert_int_equal(loader_batches(part[o.rank]), loader_batches(whole));
        assert_int_equal(loader_start_epoch(part[o.rank], 5, order), OK);
    }
    assert_int_equal(loader_start_epoch(whole, 5, order), OK);
    const batch *all, *b;
    while (loader_next(whole, &all) == OK)
        for (int r = 0; r < ranks; r++) {
            assert_int_equal(loader_next(part[r], &b), OK);
            for (int i = 0; i < b->count; i++, places++) {
                int k = i * ranks + r;
                if (k < all->count) expect_same_image(b, i, all, k);
                seen += k < all->count;
            }
        }
    assert_int_equal(seen, PICTURES);
    assert_int_equal(places, (PICTURES + ranks - 1) / ranks * ranks); /* as many for each */
    for (int r = 0; r < ranks; r++) {
        assert_int_equal(loader_next(part[r], &b), ERR_END);
        loader_destroy(&part[r]);
    }
    loader_destroy(&whole);
}

static void ranks_share_an_epoch(void **state)
{
    (void)state;
    int order[PICTURES];
    for (int i = 0; i < PICTURES; i++) order[i] = i * 3 % 5;
    loader_options shaped = training;
    shaped.rect = true;
    for (int ranks = 1; ranks <= 3; ranks++) {
        compare_ranks(training, ranks, NULL);
        compare_ranks(shaped, ranks, NULL);
        compare_ranks(training, ranks, order);
    }
}

static void a_batch_is_at_most_the_data_set(void **state)
{
    (void)state;
    loader_options o = validation;
    o.batch = 1000;
    loader *l = create(o, 2);
    const batch *b;
    assert_int_equal(loader_batches(l), 1);
    assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
    assert_int_equal(loader_next(l, &b), OK);
    assert_int_equal(b->count, PICTURES);
    assert_int_equal(loader_next(l, &b), ERR_END);
    loader_destroy(&l);
}

/* Validation: pictures as they are in the files, in the middle of grey, with all of their labels. */
static void validation_letterboxes(void **state)
{
    (void)state;
    loader *l = create(validation, 2);
    const batch *b;
    assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
    int pictures = 0;
    while (loader_next(l, &b) == OK) {
        int row = 0;
        for (int i = 0; i < b->count; i++, pictures++) {
            const dataset_image *image = &data->images[b->index[i]];
            const sample_origin *o = &b->origin[i];
            double width = image->width * o->ratio_width, height = image->height * o->ratio_height;
            assert_true(o->width == image->width && o->height == image->height);
            const uint8_t *pixels = b->images + (size_t)i * image_bytes(b->width, b->height);
            if (o->pad_height >= 2) assert_true(pixels[0] == 114 && pixels[1] == 114 && pixels[2] == 114);
            for (size_t k = 0; k < image->labels; k++, row++) {
                const float *t = b->targets + LOADER_TARGET_COLUMNS * row;
                const label *want = &dataset_labels(data, b->index[i])[k];
                assert_true(t[0] == (float)i && t[1] == want->cls);
                assert_float_equal(t[2] * b->width, want->x * width + o->pad_width, 0.51);
                assert_float_equal(t[5] * b->height, want->h * height, 0.51);
            }
        }
        assert_int_equal(row, b->target_count);
    }
    assert_int_equal(pictures, PICTURES);
    loader_destroy(&l);
}

static void training_targets_lie_in_the_picture(void **state)
{
    (void)state;
    loader *l = create(training, 2);
    int targets = 0;
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        const batch *b;
        assert_int_equal(loader_start_epoch(l, epoch, NULL), OK);
        while (loader_next(l, &b) == OK) {
            assert_true(b->width == SIZE && b->height == SIZE && !b->origin);
            for (int i = 0; i < b->target_count; i++) {
                const float *t = b->targets + LOADER_TARGET_COLUMNS * i;
                assert_true(t[0] >= 0 && t[0] < (float)b->count && t[1] >= 0 && t[1] < 3);
                assert_true(t[2] - t[4] / 2 > -1e-5f && t[2] + t[4] / 2 < 1 + 1e-5f);
                assert_true(t[3] - t[5] / 2 > -1e-5f && t[3] + t[5] / 2 < 1 + 1e-5f);
                assert_true(t[4] * SIZE > 2 && t[5] * SIZE > 2);
            }
            targets += b->target_count;
        }
    }
    assert_true(targets > 3 * PICTURES);
    loader_destroy(&l);
}

static void a_given_order_is_followed(void **state)
{
    (void)state;
    int order[PICTURES];
    for (int i = 0; i < PICTURES; i++) order[i] = i % 2 ? 3 : 7;
    loader *l = create(training, 3);
    const batch *b;
    int number = 0;
    assert_int_equal(loader_start_epoch(l, 0, order), OK);
    while (loader_next(l, &b) == OK)
        for (int i = 0; i < b->count; i++) assert_int_equal(b->index[i], number++ % 2 ? 3 : 7);
    assert_int_equal(number, PICTURES);
    order[5] = PICTURES;
    assert_int_equal(loader_start_epoch(l, 0, order), ERR_ARGUMENT);
    loader_destroy(&l);
}

/* Batches that were passed over change nothing in those that follow. */
static void an_epoch_can_begin_in_its_middle(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 3; threads += 3)
        for (int skipped = 0; skipped <= 3; skipped++) {
            loader *l = create(training, threads), *m = create(training, 1);
            const batch *b, *c;
            assert_int_equal(loader_start_epoch(l, 4, NULL), OK);
            assert_int_equal(loader_start_epoch(m, 4, NULL), OK);
            loader_skip(l, skipped);
            for (int i = 0; i < skipped; i++) assert_int_equal(loader_next(m, &c), OK);
            for (int i = skipped; i < 3; i++) {
                assert_int_equal(loader_next(l, &b), OK);
                assert_int_equal(loader_next(m, &c), OK);
                assert_true(b->count == c->count && b->target_count == c->target_count);
                assert_memory_equal(b->images, c->images, (size_t)b->count * image_bytes(SIZE, SIZE));
            }
            assert_int_equal(loader_next(l, &b), ERR_END);
            loader_destroy(&l);
            loader_destroy(&m);
        }
}

/* What has been made ahead is not thrown away, and comes out as if it had not. */
static void an_epoch_that_has_just_begun_begins_again_for_nothing(void **state)
{
    (void)state;
    loader *l = create(training, 2), *m = create(training, 0);
    const batch *b, *c;
    for (int skipped = 0; skipped < 2; skipped++) {
        assert_int_equal(loader_start_epoch(l, 7, NULL), OK);
        assert_int_equal(loader_start_epoch(l, 7, NULL), OK);
        assert_int_equal(loader_start_epoch(m, 7, NULL), OK);
        if (skipped) loader_skip(l, skipped);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(loader_next(m, &c), OK);
            if (i < skipped) continue;
            assert_int_equal(loader_next(l, &b), OK);
            assert_true(b->count == c->count && b->target_count == c->target_count);
            assert_memory_equal(b->images, c->images, (size_t)b->count * image_bytes(SIZE, SIZE));
        }
        assert_int_equal(loader_next(l, &b), ERR_END);
    }
    assert_int_equal(loader_start_epoch(l, 7, NULL), OK); /* a batch was taken: from its front again */
    assert_int_equal(loader_start_epoch(m, 7, NULL), OK);
    assert_int_equal(loader_next(l, &b), OK);
    assert_int_equal(loader_next(m, &c), OK);
    assert_memory_equal(b->images, c->images, (size_t)b->count * image_bytes(SIZE, SIZE));
    loader_destroy(&l);
    loader_destroy(&m);
}

/* ---- errors and endings ---- */

static void a_picture_that_breaks_in_training_is_an_error_that_names_it(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 3; threads += 3) {
        loader_options o = validation;
        loader *l = create(o, threads);
        const batch *b;
        int good = 0;
        status s;
        test_write_text(test_path(folder, "images/train/a06.jpg"), "no picture any more");
        assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
        while ((s = loader_next(l, &b)) == OK) good++;
        assert_int_equal(s, ERR_FORMAT);
        assert_null(b);
        assert_non_null(strstr(status_message(), "images/train/a06.jpg: not a JPEG, PNG or BMP picture"));
        assert_true(good < 3);
        test_jpeg(test_path(folder, "images/train/a06.jpg"), 48, 64, 6); /* mended: the next epoch is whole */
        assert_int_equal(loader_start_epoch(l, 1, NULL), OK);
        for (good = 0; (s = loader_next(l, &b)) == OK; good++) {}
        assert_true(s == ERR_END && good == 3);
        loader_destroy(&l);
    }
}

static void a_broken_picture_in_a_mosaic_is_the_same_error_each_time(void **state)
{
    (void)state;
    loader *l = create(training, 3);
    int batches = -1;
    assert_int_equal(unlink(test_path(folder, "images/train/a02.jpg")), 0);
    for (int round = 0; round < 5; round++) {
        const batch *b;
        status s;
        int good = 0;
        assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
        while ((s = loader_next(l, &b)) == OK) good++;
        assert_int_equal(s, ERR_NOT_FOUND);
        assert_non_null(strstr(status_message(), "a02.jpg"));
        if (round) assert_int_equal(good, batches);
        batches = good;
    }
    loader_destroy(&l);
}

/* At every moment: before an epoch, within one, when the ring is full, after an error. */
static void a_loader_can_be_ended_at_any_moment(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        loader *l = create(round % 2 ? training : validation, round % 5);
        const batch *b;
        if (round % 7) assert_int_equal(loader_start_epoch(l, 0, NULL), OK);
        for (int i = 0; round % 7 && i < round % 4; i++) loader_next(l, &b);
        if (round % 11 == 0) usleep(2000);
        loader_destroy(&l);
        loader_destroy(&l); /* an empty handle */
    }
}

static void an_epoch_can_begin_within_another(void **state)
{
    (void)state;
    loader *l = create(training, 3), *m = create(training, 0);
    const batch *b, *c;
    for (int64_t epoch = 0; epoch < 20; epoch++) {
        assert_int_equal(loader_start_epoch(l, epoch, NULL), OK);
        for (int64_t i = 0; i < epoch % 3; i++) assert_int_equal(loader_next(l, &b), OK);
    }
    assert_int_equal(loader_start_epoch(l, 2, NULL), OK);
    assert_int_equal(loader_start_epoch(m, 2, NULL), OK);
    assert_int_equal(loader_next(l, &b), OK);
    assert_int_equal(loader_next(m, &c), OK);
    assert_memory_equal(b->images, c->images, (size_t)b->count * image_bytes(SIZE, SIZE));
    loader_destroy(&l);
    loader_destroy(&m);
}

/* Whatever was taken in between, and also after an epoch that was left in its middle. */
static void a_loader_that_is_started_again_gives_the_same(void **state)
{
    (void)state;
    loader_options kinds[] = {training, validation, training};
    kinds[2].rect = true;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int cached = 0; cached < 2; cached++)
            for (int threads = 0; threads < 4; threads += 3) {
                char first[FS_HASH_ROOM], again[FS_HASH_ROOM];
                const batch *b;
                kinds[k].cache = cached;
                loader *l = create(kinds[k], threads);
                hash_epochs(l, first);
                assert_int_equal(loader_start_epoch(l, 7, NULL), OK);
                assert_int_equal(loader_next(l, &b), OK);
                hash_epochs(l, again);
                assert_string_equal(first, again);
                hash_epochs(l, again);
                assert_string_equal(first, again);
                loader_destroy(&l);
            }
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        loader_options o = training;
        loader *l = (loader *)1;
        if (i == 0) o.batch = 0;
        if (i == 1) o.image_size = 50;
        if (i == 2) o.image_size = 0;
        if (i == 3) o.stride = 0;
        if (i == 4) o.threads = -1;
        if (i == 5) o.hyp = NULL;
        if (i == 6) o.pad = -1;
        if (i == 7) o.image_size = 1 << 30;
        if (i == 8) o.stride = 31, o.image_size = 31;
        if (i == 9) o.ranks = o.rank = 2;
        assert_int_equal(loader_create(&l, data, &o), ERR_ARGUMENT);
        assert_null(l);
    }
}

static void there_is_no_batch_before_an_epoch(void **state)
{
    (void)state;
    loader *l = create(training, 2);
    const batch *b;
    assert_int_equal(loader_next(l, &b), ERR_END);
    loader_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_are_the_same_for_any_number_of_threads, start, end),
        cmocka_unit_test_setup_teardown(the_seed_and_the_epoch_change_what_comes, start, end),
        cmocka_unit_test_setup_teardown(every_picture_comes_once_and_the_last_batch_is_kept, start, end),
        cmocka_unit_test_setup_teardown(ranks_share_an_epoch, start, end),
        cmocka_unit_test_setup_teardown(a_batch_is_at_most_the_data_set, start, end),
        cmocka_unit_test_setup_teardown(validation_letterboxes, start, end),
        cmocka_unit_test_setup_teardown(training_targets_lie_in_the_picture, start, end),
        cmocka_unit_test_setup_teardown(a_given_order_is_followed, start, end),
        cmocka_unit_test_setup_teardown(an_epoch_can_begin_in_its_middle, start, end),
        cmocka_unit_test_setup_teardown(an_epoch_that_has_just_begun_begins_again_for_nothing, start, end),
        cmocka_unit_test_setup_teardown(a_picture_that_breaks_in_training_is_an_error_that_names_it, start, end),
        cmocka_unit_test_setup_teardown(a_broken_picture_in_a_mosaic_is_the_same_error_each_time, start, end),
        cmocka_unit_test_setup_teardown(a_loader_can_be_ended_at_any_moment, start, end),
        cmocka_unit_test_setup_teardown(an_epoch_can_begin_within_another, start, end),
        cmocka_unit_test_setup_teardown(a_loader_that_is_started_again_gives_the_same, start, end),
        cmocka_unit_test_setup_teardown(options_that_make_no_sense_are_refused, start, end),
        cmocka_unit_test_setup_teardown(there_is_no_batch_before_an_epoch, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
