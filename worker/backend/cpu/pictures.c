/* pictures.c - the plan of OP_AUGMENT: pictures from the images buffer to a batch. The work is augment.c's. */
#include <stdlib.h>

#include "common/array.h"
#include "worker/backend/cpu/augment.h"
#include "worker/backend/cpu/plan.h"

typedef struct pictures {
    const augment_sample *samples;
    uint8_t *out;
    int count, height, width;
} pictures;

static status pictures_run(plan *p)
{
    const pictures *s = p->state;
    const buffer *images = p->buffers[ARENA_IMAGES];
    return augment_run(s->samples, s->count, (const uint8_t *)images->memory, images->bytes, s->width, s->height,
                       s->out);
}

static status no_maps(plan *p, plan_side side, int tensor, bool in, void *memory)
{
    (void)side, (void)in, (void)memory;
    return FAIL(ERR_ARGUMENT, "plan: %s is no feature map", p->arrays[tensor].tensor.name);
}

static int64_t pictures_memory(const plan *p)
{
    (void)p;
    return 0;
}

static void pictures_report(const plan *p, int runs, text *out)
{
    (void)p, (void)runs, (void)out;
}

static void pictures_destroy(plan *p)
{
    free(p->state);
}

static const plan_kind pictures_kind = {
    .name = "augment",
    .run = pictures_run,
    .copy_map = no_maps,
    .memory = pictures_memory,
    .report = pictures_report,
    .destroy = pictures_destroy,
};

status augment_plan_create(plan *p, const graph *g)
{
    if (g->node_count != 1) return FAIL(ERR_UNSUPPORTED, "cpu: augment together with other operations");
    pictures *s;
    TRY(array_new(&s, 1));
    p->state = s;
    p->kind = &pictures_kind;
    const graph_tensor *out = &g->tensors[g->nodes[0].out[0]];
    s->samples = p->arrays[g->nodes[0].in[0]].memory;
    s->out = p->arrays[g->nodes[0].out[0]].memory;
    s->count = (int)out->shape.dim[0];
    s->height = (int)out->shape.dim[1];
    s->width = (int)out->shape.dim[2];
    bool good = s->samples && s->out && p->buffers[ARENA_IMAGES] && out->type == DTYPE_U8;
    return good ? OK : FAIL(ERR_ARGUMENT, "augment: reads an input and the images, and writes bytes to an output");
}
