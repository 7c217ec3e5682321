/* checkpoint.c and checkpoint_load.c: a training as it stands, to a file and back; files that are cut short; failed writes. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/text.h"
#include "worker/model/pt_write.h"
#include "worker/train/checkpoint.h"

static char root[] = "/tmp/mendel-checkpoint-XXXXXX";
static char *path;

static int make_root(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    path = path_join(root, "last.pt");
    return path ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    free(path);
    return fs_remove(root) == OK ? 0 : -1;
}

/* ---- a checkpoint with everything in it ---- */

static const float kernel[8] = {1, -2, 3, 0.1f, 1e-7f, 70000, -0.0f, 0.333333f}, bias[2] = {0.5f, -0.25f},
                   gamma_[2] = {1, 1.0001f};
static const float first[8] = {1, 2, 3, 4, 5, 6, 7, 8}, second[8] = {8, 7, 6, 5, 4, 3, 2, 1};

static const checkpoint_array model_arrays[] = {
    {.name = "model.0.conv.weight", .rank = 4, .shape = {2, 1, 2, 2}, .values = kernel},
    {.name = "model.0.conv.bias", .rank = 1, .shape = {2}, .values = bias},
    {.name = "model.0.bn.weight", .rank = 1, .shape = {2}, .values = gamma_},
    {.name = "model.0.bn.num_batches_tracked", .integer = (int64_t)1 << 33},
};
/* Group by group: norm weights, weights, biases. */
static const checkpoint_array momentum[] = {
    {.name = "model.0.bn.weight", .rank = 1, .shape = {2}, .values = first},
    {.name = "model.0.conv.weight", .rank = 4, .shape = {2, 1, 2, 2}, .values = first},
    {.name = "model.0.conv.bias", .rank = 1, .shape = {2}, .values = second},
};
static const checkpoint_array squares[] = {
    {.name = "model.0.bn.weight", .rank = 1, .shape = {2}, .values = second},
    {.name = "model.0.conv.weight", .rank = 4, .shape = {2, 1, 2, 2}, .values = second},
    {.name = "model.0.conv.bias", .rank = 1, .shape = {2}, .values = first},
};
static const checkpoint_number numbers[] = {{"step", 17}, {"warmup", 0.1}, {"result0", -1e-300}};
static const checkpoint_text texts[] = {{"precision", "fp32"}, {"note", NULL}};
static const char *const names[] = {"disc", "square's", "\xc3\xbc"};

static checkpoint whole(optimizer_kind kind)
{
    checkpoint c = {
        .epoch = 4,
        .best_fitness = 0.1 + 0.2,
        .training_results = "0/9 0G 1\n1/9 0G 2\n",
        .yaml = "nc: 3\n# a comment\n",
        .names = names,
        .heads = {.levels = 2, .anchors = 1, .classes = 3, .stride = {8, 16}, .anchor = {{{1.25f, 1.625f}}, {{2, 3}}}},
        .model = {model_arrays, 4},
        .has_optimizer = true,
        .optimizer = {.kind = kind, .steps = 123},
        .has_progress = true,
        .weights = {model_arrays, 4},
        .arrays = {momentum, 3},
        .numbers = numbers,
        .number_count = 3,
        .texts = texts,
        .text_count = 2,
    };
    for (int g = 0; g < UPDATE_GROUPS; g++)
        c.optimizer.groups[g] = (checkpoint_group){.lr = 0.01 * g,
                                                   .initial_lr = 0.01,
                                                   .weight_decay = g == 1 ? 5e-4 : 0,
                                                   .momentum = 0.937,
                                                   .count = 1};
    c.optimizer.momentum = (checkpoint_arrays){momentum, 3};
    if (kind == OPTIMIZER_ADAM) c.optimizer.squares = (checkpoint_arrays){squares, 3};
    return c;
}

static checkpoint *load_good(void)
{
    checkpoint *c;
    if (checkpoint_load(path, &c) != OK) fail_msg("%s", status_message());
    return c;
}

static void same_arrays(const checkpoint_arrays *got, const checkpoint_arrays *want)
{
    assert_int_equal(got->count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        const checkpoint_array *a = &got->items[i], *b = &want->items[i];
        size_t count = 1;
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->rank, b->rank);
        for (int d = 0; d < b->rank; d++) {
            assert_int_equal(a->shape[d], b->shape[d]);
            count *= (size_t)b->shape[d];
        }
        assert_int_equal(a->values != NULL, b->values != NULL);
        if (b->values) assert_memory_equal(a->values, b->values, count * sizeof *b->values);
        else assert_int_equal(a->integer, b->integer);
    }
}

static void everything_comes_back(void **state)
{
    (void)state;
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAM; kind++) {
        checkpoint want = whole((optimizer_kind)kind);
        assert_int_equal(checkpoint_save(&want, path), OK);
        checkpoint *c = load_good();
        assert_int_equal(c->epoch, 4);
        assert_true(c->best_fitness == want.best_fitness);
        assert_string_equal(c->training_results, want.training_results);
        assert_string_equal(c->yaml, want.yaml);
        for (int i = 0; i < 3; i++) assert_string_equal(c->names[i], names[i]);
        assert_memory_equal(&c->heads, &want.heads, sizeof want.heads);
        same_arrays(&c->model, &want.model);
        assert_true(c->has_optimizer && c->has_progress);
        assert_int_equal(c->optimizer.kind, kind);
        if (kind == OPTIMIZER_ADAM) assert_int_equal(c->optimizer.steps, 123);
        for (int g = 0; g < UPDATE_GROUPS; g++) {
            const checkpoint_group *a = &c->optimizer.groups[g], *b = &want.optimizer.groups[g];
            assert_true(a->lr == b->lr && a->initial_lr == b->initial_lr && a->weight_decay == b->weight_decay);
            assert_true(a->momentum == b->momentum && a->count == b->count);
        }
        same_arrays(&c->optimizer.momentum, &want.optimizer.momentum);
        same_arrays(&c->optimizer.squares, &want.optimizer.squares);
        same_arrays(&c->weights, &want.weights);
        same_arrays(&c->arrays, &want.arrays);
        assert_true(checkpoint_get_number(c, "warmup", 9) == 0.1 && checkpoint_get_number(c, "result0", 9) == -1e-300);
        assert_true(checkpoint_get_number(c, "missing", 9) == 9);
        assert_string_equal(checkpoint_get_text(c, "precision"), "fp32");
        assert_null(checkpoint_get_text(c, "note"));
        assert_null(checkpoint_get_text(c, "missing"));
        assert_ptr_equal(checkpoint_find(&c->model, "model.0.conv.bias"), &c->model.items[1]);
        assert_null(checkpoint_find(&c->model, "model.0.conv"));
        checkpoint_destroy(&c);
        assert_null(c);
    }
}

static void what_is_not_there_stays_so(void **state)
{
    (void)state;
    checkpoint want = {.epoch = -1, .model = {model_arrays, 4}};
    assert_int_equal(checkpoint_save(&want, path), OK);
    checkpoint *c = load_good();
    assert_true(!c->training_results && !c->yaml && !c->names && !c->heads.levels && !c->has_optimizer &&
                !c->has_progress);
    assert_int_equal(c->epoch, -1);
    checkpoint_destroy(&c);
    want = whole(OPTIMIZER_SGD); /* before the first step there is no momentum */
    want.optimizer.momentum.count = 0;
    assert_int_equal(checkpoint_save(&want, path), OK);
    c = load_good();
    assert_true(c->has_optimizer && c->optimizer.momentum.count == 0 && c->optimizer.groups[1].count == 1);
    checkpoint_destroy(&c);
}

static void stripping_leaves_the_model_in_half_precision(void **state)
{
    (void)state;
    checkpoint want = whole(OPTIMIZER_ADAM);
    assert_int_equal(checkpoint_save(&want, path), OK);
    assert_int_equal(checkpoint_strip(path), OK);
    checkpoint *c = load_good();
    assert_int_equal(c->epoch, -1);
    assert_true(c->best_fitness == want.best_fitness);
    assert_true(!c->training_results && !c->has_optimizer && !c->has_progress && !c->weights.count);
    assert_string_equal(c->yaml, want.yaml);
    assert_memory_equal(&c->heads, &want.heads, sizeof want.heads);
    assert_int_equal(c->model.count, 4);
    const float *half = c->model.items[0].values;
    assert_true(half[0] == 1 && half[1] == -2 && half[3] == 0.0999755859375f && isinf(half[5]) && half[4] == 0x1p-23f);
    assert_int_equal(c->model.items[3].integer, (int64_t)1 << 33);
    char *once, *twice;
    size_t counts[2];
    assert_int_equal(fs_read(path, 0, &once, &counts[0]), OK);
    assert_int_equal(checkpoint_strip(path), OK); /* again: nothing changes */
    assert_int_equal(fs_read(path, 0, &twice, &counts[1]), OK);
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(once, twice, counts[0]);
    free(once);
    free(twice);
    checkpoint_destroy(&c);
}

/* ---- files that are no checkpoints ---- */

static void expect_refused(status expected, const char *words)
{
    checkpoint *c;
    status s = checkpoint_load(path, &c);
    assert_null(c);
    if (s != expected || !strstr(status_message(), words) || !strstr(status_message(), path) ||
        strchr(status_message(), '\n'))
        fail_msg("status %d: %s; '%s' was expected", s, status_message(), words);
}

static void a_truncated_file_gives_one_clear_sentence(void **state)
{
    (void)state;
    checkpoint want = whole(OPTIMIZER_ADAM);
    char *bytes;
    size_t count;
    assert_int_equal(checkpoint_save(&want, path), OK);
    assert_int_equal(fs_read(path, 0, &bytes, &count), OK);
    for (size_t cut = 0; cut < count; cut += 1 + count / 997) {
        FILE *f = fopen(path, "wb");
        assert_true(f && fwrite(bytes, 1, cut, f) == cut && fclose(f) == 0);
        expect_refused(ERR_FORMAT, cut > 2 ? "is cut short" : "is no torch file");
        assert_int_equal(checkpoint_strip(path), ERR_FORMAT);
    }
    free(bytes);
}

typedef void put_function(pt_writer *w);

static void write_with(put_function *put)
{
    pt_writer *w;
    assert_int_equal(pt_writer_create(&w), OK);
    pt_put_start(w, PT_DICT);
    put(w);
    pt_put_end(w);
    assert_int_equal(pt_writer_save(w, path), OK);
    pt_writer_destroy(&w);
}

static void put_model(pt_writer *w)
{
    pt_put_string(w, "epoch");
    pt_put_int(w, 3);
    pt_put_string(w, "model");
    pt_put_start(w, PT_DICT);
    pt_put_end(w);
}

static void put_epoch_alone(pt_writer *w)
{
    pt_put_string(w, "epoch");
    pt_put_int(w, 3);
}

static void put_model_of_text(pt_writer *w)
{
    put_epoch_alone(w);
    pt_put_string(w, "model");
    pt_put_string(w, "none");
}

static void put_fitness_of_text(pt_writer *w)
{
    put_model(w);
    pt_put_string(w, "best_fitness");
    pt_put_string(w, "high");
}

static void put_empty_optimizer(pt_writer *w)
{
    put_model(w);
    pt_put_string(w, "optimizer");
    pt_put_start(w, PT_DICT);
    pt_put_end(w);
}

static void put_strange_heads(pt_writer *w)
{
    put_model(w);
    pt_put_string(w, "nc");
    pt_put_int(w, 2);
    pt_put_string(w, "anchors");
    pt_put_start(w, PT_LIST);
    for (int i = 0; i < 3; i++) pt_put_int(w, i);
    pt_put_end(w);
}

static void put_newer_progress(pt_writer *w)
{
    put_model(w);
    pt_put_string(w, "mendel");
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "format");
    pt_put_int(w, CHECKPOINT_FORMAT + 1);
    pt_put_end(w);
}

static void put_progress_without_numbers(pt_writer *w)
{
    put_model(w);
    pt_put_string(w, "mendel");
    pt_put_start(w, PT_DICT);
    pt_put_string(w, "format");
    pt_put_int(w, CHECKPOINT_FORMAT);
    for (int i = 0; i < 2; i++) {
        pt_put_string(w, i ? "arrays" : "weights");
        pt_put_start(w, PT_ORDERED_DICT);
        pt_put_end(w);
    }
    pt_put_end(w);
}

static void other_torch_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        put_function *put;
        status expected;
        const char *words;
    } cases[] = {
        {put_epoch_alone, ERR_FORMAT, "epoch and model are missing"},
        {put_model_of_text, ERR_FORMAT, "a model, or a dictionary of its tensors"},
        {put_fitness_of_text, ERR_FORMAT, "best_fitness: a number was expected"},
        {put_empty_optimizer, ERR_FORMAT, "three groups of parameters"},
        {put_strange_heads, ERR_FORMAT, "do not go together"},
        {put_newer_progress, ERR_UNSUPPORTED, "another version"},
        {put_progress_without_numbers, ERR_FORMAT, "mendel/numbers is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_with(cases[i].put);
        expect_refused(cases[i].expected, cases[i].words);
    }
    assert_int_equal(fs_remove(path), OK);
    expect_refused(ERR_NOT_FOUND, "");
}

/* ---- failed writes ---- */

/* Files of this process may not grow beyond `bytes`, as on a full disk. */
static void limit_files(rlim_t bytes)
{
    signal(SIGXFSZ, SIG_IGN); /* so that write() fails instead */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, RLIM_INFINITY}), 0);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    checkpoint old = whole(OPTIMIZER_SGD), new = whole(OPTIMIZER_ADAM);
    char *before, *after;
    size_t counts[2];
    new.epoch = 5;
    assert_int_equal(checkpoint_save(&old, path), OK);
    assert_int_equal(fs_read(path, 0, &before, &counts[0]), OK);
    for (rlim_t limit = 0; limit < counts[0]; limit += 1 + counts[0] / 50) {
        limit_files(limit);
        status saved = checkpoint_save(&new, path), stripped = checkpoint_strip(path);
        limit_files(RLIM_INFINITY);
        assert_int_not_equal(saved, OK);
        assert_non_null(strstr(status_message(), root));
        if (stripped == OK) break; /* that is smaller, and fits at last */
        assert_int_equal(fs_read(path, 0, &after, &counts[1]), OK);
        assert_int_equal(counts[0], counts[1]);
        assert_memory_equal(before, after, counts[0]);
        free(after);
    }
    fs_names files;
    assert_int_equal(fs_list(root, &files), OK);
    assert_int_equal(files.count, 1); /* and no half of the new one */
    fs_names_free(&files);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(what_is_not_there_stays_so),
        cmocka_unit_test(stripping_leaves_the_model_in_half_precision),
        cmocka_unit_test(a_truncated_file_gives_one_clear_sentence),
        cmocka_unit_test(other_torch_files_are_refused),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
