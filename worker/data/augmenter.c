#include "worker/data/augmenter.h"

#include "common/array.h"
#include "worker/data/augment_plain.h"

#include <stdlib.h>

struct augmenter {
    const backend_ops *ops;
    device *device;
    uint8_t *images;
    size_t image_bytes;
    buffer *buffer;
    plan *plan; /* of the size below; NULL before the first */
    int width, height;
    int samples, output; /* its tensors */
};

status augmenter_create(const backend_ops *ops, device *d, uint8_t *images, size_t image_bytes, augmenter **out)
{
    augmenter *a;
    *out = NULL;
    TRY(array_new(&a, 1));
    *a = (augmenter){.ops = ops, .device = d, .images = images, .image_bytes = image_bytes};
    status s = ops ? ops->buffer_wrap(d, images, image_bytes, &a->buffer) : OK;
    if (s == OK) *out = a;
    else augmenter_destroy(&a);
    return s;
}

void augmenter_destroy(augmenter **a)
{
    if (!*a) return;
    if ((*a)->plan) (*a)->ops->plan_destroy(&(*a)->plan);
    if ((*a)->buffer) (*a)->ops->buffer_destroy(&(*a)->buffer);
    free(*a);
    *a = NULL;
}

static status build_graph(augmenter *a, int width, int height, graph *g)
{
    graph_tensor samples = {.name = "samples", .role = TENSOR_INPUT, .type = DTYPE_U8};
    graph_tensor output = {.name = "images", .role = TENSOR_OUTPUT, .type = DTYPE_U8};
    samples.shape = shape_of(2, 1, sizeof(augment_sample), 0, 0);
    output.shape = shape_of(4, 1, height, width, 3);
    graph_node node = {.kind = OP_AUGMENT, .inputs = 1, .outputs = 1};
    TRY(graph_add_tensor(g, &samples, &a->samples));
    TRY(graph_add_tensor(g, &output, &a->output));
    node.in[0] = a->samples;
    node.out[0] = a->output;
    return graph_add_node(g, &node);
}

static status make_plan(augmenter *a, int width, int height)
{
    if (a->plan && a->width == width && a->height == height) return OK;
    if (a->plan) a->ops->plan_destroy(&a->plan);
    graph g = {0};
    plan_options options = {.precision = PRECISION_FP32};
    options.buffers[ARENA_IMAGES] = a->buffer;
    status s = build_graph(a, width, height, &g);
    if (s == OK) s = a->ops->plan_create(a->device, &g, &options, &a->plan);
    graph_free(&g);
    a->width = width;
    a->height = height;
    return s;
}

status augmenter_run(augmenter *a, const augment_sample *s, int width, int height, uint8_t *out)
{
    if (!a->ops) return augment_plain(s, a->images, a->image_bytes, width, height, out);
    TRY(make_plan(a, width, height));
    TRY(a->ops->plan_write(a->plan, PLAN_VALUE, a->samples, s, sizeof *s));
    TRY(a->ops->plan_run(a->plan));
    return a->ops->plan_read(a->plan, PLAN_VALUE, a->output, out, (size_t)width * (size_t)height * 3);
}
