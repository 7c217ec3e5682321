#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/model/model.h"

static model make(const char *path, int classes)
{
    model_config c;
    model m = {0};
    if (model_config_read(path, classes, &c) != OK || model_create(&c, &m) != OK) fail_msg("%s", status_message());
    return m;
}

static int64_t parameters_of(const model *m)
{
    int64_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->weights[i].kind == WEIGHT_PARAMETER) count += shape_count(&m->weights[i].shape);
    return count;
}

/* Counts that the reference prints for its own files. */
static void the_example_models_have_the_reference_s_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int64_t parameters;
    } models[] = {
        {"examples/models/yolov5n.yaml", 1930941},  {"examples/models/yolov5s.yaml", 7468157},
        {"examples/models/yolov5m.yaml", 21805053}, {"examples/models/yolov5l.yaml", 47818749},
        {"examples/models/yolov5x.yaml", 88965245},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        model m = make(models[i].path, 80);
        assert_int_equal(parameters_of(&m), models[i].parameters);
        assert_int_equal((int)m.stride[0], 8);
        assert_int_equal((int)m.stride[2], 32);
        model_free(&m);
    }
}

/* Printed by torch 2.15 after torch.manual_seed(1) and Model('yolov5n.yaml', nc=3). */
static void initial_weights_are_torch_s(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double first, last, sum;
    } want[] = {
        {"model.0.conv.conv.weight", 0.04958122596144676, -0.045186497271060944, 0.9512311882135691},
        {"model.2.cv2.weight", 0.1489250212907791, 0.021601080894470215, -1.3808697799540823},
        {"model.9.m.0.cv2.conv.weight", -0.001997486688196659, 0.012621773406863213, -2.2402846980888285},
        {"model.24.m.0.bias", 0.10386531054973602, -1.24209463596344, -31.203034847974777},
        {"model.24.m.2.bias", -0.03965725004673004, -1.2368030548095703, -22.646142542362213},
    };
    model m = make("examples/models/yolov5n.yaml", 3);
    model_init(&m, 1);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const weight *w = model_find(&m, want[i].name);
        assert_non_null(w);
        double sum = 0;
        int64_t count = shape_count(&w->shape);
        for (int64_t k = 0; k < count; k++) sum += (double)m.arena[w->offset + k];
        assert_true(fabs((double)m.arena[w->offset] - want[i].first) < 1e-8);
        assert_true(fabs((double)m.arena[w->offset + count - 1] - want[i].last) < 1e-6);
        assert_true(fabs(sum - want[i].sum) < 1e-6);
    }
    model_free(&m);
}

static void segments_cover_every_weight_once(void **state)
{
    (void)state;
    model m = make("examples/models/yolov5n.yaml", 3);
    update_segment *segments;
    int count;
    assert_int_equal(model_segments(&m, &segments, &count), OK);
    int64_t groups[UPDATE_GROUPS] = {0}, states = 0, end = 0;
    for (int i = 0; i < count; i++) {
        assert_true(segments[i].offset >= end);
        end = segments[i].offset + segments[i].count;
        if (segments[i].group < 0) states += segments[i].count;
        else groups[segments[i].group] += segments[i].count;
    }
    assert_true(end <= m.arena_count);
    assert_int_equal(groups[0] + groups[1] + groups[2], parameters_of(&m));
    assert_int_equal(states, 2 * groups[0]); /* a mean and a variance for each gamma */
    free(segments);
    model_free(&m);
}

static void frozen_parameters_are_averaged_only(void **state)
{
    (void)state;
    model m = make("examples/models/yolov5n.yaml", 3);
    update_segment *segments;
    int count;
    assert_int_equal(model_freeze(&m, ""), OK);
    assert_int_equal(model_freeze(&m, "model.99."), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "no parameter has 'model.99.' in its name"));
    assert_int_equal(model_freeze(&m, "model.0.,.cv1."), OK);
    assert_int_equal(model_segments(&m, &segments, &count), OK);
    for (size_t i = 0; i < m.count; i++) {
        const weight *w = &m.weights[i];
        bool named = strstr(w->name, "model.0.") || strstr(w->name, ".cv1.");
        if (w->kind != WEIGHT_PARAMETER) continue;
        assert_int_equal(w->frozen, named);
        int k = 0;
        while (w->offset >= segments[k].offset + segments[k].count) k++;
        assert_int_equal(segments[k].group, named ? -1 : model_group(w));
    }
    assert_int_equal(model_freeze(&m, "model"), ERR_ARGUMENT);
    assert_non_null(strstr(status_message(), "leaves nothing to train"));
    free(segments);
    model_free(&m);
}

static void anchors_follow_the_strides(void **state)
{
    (void)state;
    model m = make("examples/models/yolov5n.yaml", 3);
    float falling[18];
    for (int i = 0; i < 18; i++) falling[i] = (float)(180 - 10 * i); /* the largest first */
    model_set_anchors(&m, falling);
    detect_parameters d = model_heads(&m);
    assert_true(d.anchor[0][0][0] * 8 < d.anchor[2][0][0] * 32);
    assert_true(fabsf(d.anchor[0][0][0] * 8 - falling[12]) < 1e-4f);
    model_free(&m);
}

static void pictures_have_to_be_multiples_of_the_stride(void **state)
{
    (void)state;
    model m = make("examples/models/yolov5n.yaml", 3);
    graph g;
    graph_ends ends;
    graph_request r = {.images = 1, .height = 100, .width = 128};
    assert_int_equal(model_graph(&m, &r, &g, &ends), ERR_ARGUMENT);
    graph_free(&g);
    r.height = 96;
    assert_int_equal(model_graph(&m, &r, &g, &ends), OK);
    assert_int_equal(graph_check(&g), OK);
    graph_free(&g);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_models_have_the_reference_s_parameters),
        cmocka_unit_test(initial_weights_are_torch_s),
        cmocka_unit_test(segments_cover_every_weight_once),
        cmocka_unit_test(frozen_parameters_are_averaged_only),
        cmocka_unit_test(anchors_follow_the_strides),
        cmocka_unit_test(pictures_have_to_be_multiples_of_the_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
