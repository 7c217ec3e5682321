/* checkpoint*.c: checkpoints whose model is the reference's object, as the reference writes them and as we do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "worker/train/checkpoint.h"

enum { WEIGHTS_MOST = 64 };

static char root[] = "/tmp/mendel-checkpoint-model-XXXXXX";
static char *path;
static model network;
static checkpoint_array arrays[WEIGHTS_MOST], momentum[WEIGHTS_MOST];
static size_t parameters;
static checkpoint whole;

static const char yaml_text[] = "nc: 2\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nanchors:\n  - [10, 13, 16, 30]\n"
                                "backbone:\n  - [-1, 1, Conv, [8, 3, 2]]\n  - [-1, 1, Bottleneck, [8]]\n"
                                "head:\n  - [[1], 1, Detect, [nc, anchors]]\n";

static checkpoint_array describe(const weight *w)
{
    checkpoint_array a = {.name = w->name, .rank = w->shape.rank, .integer = 5};
    memcpy(a.shape, w->shape.dim, sizeof a.shape);
    if (w->kind != WEIGHT_COUNTER) a.values = network.arena + w->offset;
    return a;
}

static int make_all(void **state)
{
    (void)state;
    model_config config;
    if (!mkdtemp(root) || !(path = path_join(root, "last.pt")) ||
        model_config_parse("test", yaml_text, 0, &config) != OK || model_create(&config, &network) != OK ||
        network.count > WEIGHTS_MOST)
        return -1;
    log_set_level(LEVEL_ERROR);
    model_init(&network, 3);
    whole = (checkpoint){.epoch = 2, .best_fitness = 0.25, .training_results = "1\n", .yaml = yaml_text};
    whole.heads = model_heads(&network);
    whole.network = &network;
    whole.has_optimizer = true;
    whole.optimizer.kind = OPTIMIZER_SGD;
    for (size_t i = 0; i < network.count; i++) arrays[i] = describe(&network.weights[i]);
    for (int g = 0; g < UPDATE_GROUPS; g++)
        for (size_t i = 0; i < network.count; i++) {
            const weight *w = &network.weights[i];
            if (w->kind != WEIGHT_PARAMETER || model_group(w) != g) continue;
            momentum[parameters++] = arrays[i];
            whole.optimizer.groups[g].count++;
        }
    whole.model = (checkpoint_arrays){arrays, network.count};
    whole.optimizer.momentum = (checkpoint_arrays){momentum, parameters};
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    free(path);
    model_free(&network);
    return fs_remove(root) == OK ? 0 : -1;
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
        if (b->values) assert_memory_equal(a->values, b->values, count * sizeof *b->values);
        else assert_int_equal(a->integer, b->integer);
    }
}

/* Without our own key, so the momentum's names follow from the order of the parameters: as in a file of the reference. */
static void the_reference_s_form_is_read(void **state)
{
    (void)state;
    assert_int_equal(checkpoint_save(&whole, path), OK);
    checkpoint *c = load_good();
    assert_true(c->is_object && c->has_optimizer && !c->has_progress && c->epoch == 2);
    assert_memory_equal(&c->heads, &whole.heads, sizeof whole.heads);
    same_arrays(&c->model, &whole.model);
    same_arrays(&c->optimizer.momentum, &whole.optimizer.momentum);
    assert_true(c->optimizer.steps > 0);
    assert_string_equal(c->names[1], "c1");
    checkpoint_destroy(&c);
}

static void an_optimizer_that_does_not_fit_is_left_out(void **state)
{
    (void)state;
    checkpoint other = whole;
    checkpoint_array swapped[WEIGHTS_MOST];
    other.optimizer.groups[0].count++; /* the groups are cut in other places */
    other.optimizer.groups[1].count--;
    assert_int_equal(checkpoint_save(&other, path), OK);
    checkpoint *c = load_good();
    assert_true(!c->has_optimizer && c->model.count == network.count);
    checkpoint_destroy(&c);
    memcpy(swapped, momentum, sizeof swapped); /* or one array is another parameter's */
    swapped[parameters - 1] = momentum[0];
    other = whole;
    other.optimizer.momentum.items = swapped;
    assert_int_equal(checkpoint_save(&other, path), OK);
    c = load_good();
    assert_true(!c->has_optimizer);
    checkpoint_destroy(&c);
}

static void stripping_keeps_the_object(void **state)
{
    (void)state;
    char *once, *twice;
    size_t counts[2];
    assert_int_equal(checkpoint_save(&whole, path), OK);
    assert_int_equal(checkpoint_strip(path), OK);
    checkpoint *c = load_good();
    assert_true(c->is_object && !c->has_optimizer && c->epoch == -1 && c->model.count == network.count);
    checkpoint_destroy(&c);
    assert_int_equal(fs_read(path, 0, &once, &counts[0]), OK);
    assert_int_equal(checkpoint_strip(path), OK); /* again: nothing changes */
    assert_int_equal(fs_read(path, 0, &twice, &counts[1]), OK);
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(once, twice, counts[0]);
    free(once);
    free(twice);
}

static void a_state_by_itself_is_read(void **state)
{
    (void)state;
    assert_int_equal(checkpoint_save_state(&whole, path), OK);
    checkpoint *c = load_good();
    same_arrays(&c->model, &whole.model);
    assert_true(!c->is_object && !c->yaml && !c->has_optimizer && c->epoch == -1);
    checkpoint_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_s_form_is_read),
        cmocka_unit_test(an_optimizer_that_does_not_fit_is_left_out),
        cmocka_unit_test(stripping_keeps_the_object),
        cmocka_unit_test(a_state_by_itself_is_read),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
