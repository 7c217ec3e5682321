#include "worker/backend/cpu/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "worker/backend/cpu/backend.h"
#include "worker/backend/cpu/conv.h"
#include "worker/backend/cpu/parallel.h"

/* ---- making ---- */

static bool has_kind(const graph *g, op_kind kind)
{
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == kind) return true;
    return false;
}

/* Every stored tensor lies within its buffer. */
static status check_stored(const plan *p, const graph *g)
{
    for (size_t i = 0; i < g->tensor_count; i++) {
        const graph_tensor *t = &g->tensors[i];
        if (t->role != TENSOR_STORED) continue;
        const buffer *b = p->buffers[t->arena];
        if (!b) return FAIL(ERR_ARGUMENT, "plan: no buffer for the stored tensor %s", t->name);
        int64_t count = shape_count(&t->shape), room = (int64_t)(b->bytes / dtype_size(t->type));
        if (t->offset < 0 || count < 0 || t->offset > room - count)
            return FAIL(ERR_ARGUMENT, "plan: %s lies outside of its buffer", t->name);
    }
    return OK;
}

float *plan_stored(const plan *p, const graph *g, arena which, int tensor)
{
    return (float *)(void *)p->buffers[which]->memory + g->tensors[tensor].offset;
}

/* A feature map is float32 of rank 4 and not the pixels themselves. */
static bool is_array(const graph *g, size_t index)
{
    const graph_tensor *t = &g->tensors[index];
    if (t->role != TENSOR_INPUT && t->role != TENSOR_OUTPUT) return false;
    if (t->shape.rank != 4 || t->type != DTYPE_F32) return true;
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == OP_IMAGE && g->nodes[i].in[0] == (int)index) return true;
    return false;
}

static status make_arrays(plan *p, const graph *g)
{
    TRY(array_new(&p->arrays, g->tensor_count));
    p->array_count = g->tensor_count;
    for (size_t i = 0; i < g->tensor_count; i++) {
        plan_array *a = &p->arrays[i];
        a->tensor = g->tensors[i];
        a->bytes = (size_t)shape_count(&a->tensor.shape) * dtype_size(a->tensor.type);
        if (!is_array(g, i)) continue;
        a->memory = calloc(a->bytes ? a->bytes : 1, 1);
        if (!a->memory) return FAIL(ERR_MEMORY, "out of memory: %zu bytes for %s", a->bytes, a->tensor.name);
    }
    return OK;
}

/* Keep what the ceiling is measured with: the graph is gone by then. */
static status note_convolutions(plan *p, const graph *g)
{
    TRY(array_new(&p->convs, g->node_count));
    TRY(array_new(&p->conv_shapes, g->node_count));
    TRY(array_new(&p->conv_first, g->node_count));
    for (size_t i = 0; i < g->node_count; i++) {
        const graph_node *n = &g->nodes[i];
        if (n->kind != OP_CONV) continue;
        p->convs[p->conv_count] = *n;
        p->conv_shapes[p->conv_count][0] = g->tensors[n->in[0]].shape;
        p->conv_shapes[p->conv_count][1] = g->tensors[n->in[1]].shape;
        for (size_t k = 0; k < i; k++) /* it reads what image or focus made */
            if (g->nodes[k].out[0] == n->in[0] && (g->nodes[k].kind == OP_IMAGE || g->nodes[k].kind == OP_FOCUS))
                p->conv_first[p->conv_count] = true;
        p->conv_count++;
    }
    return OK;
}

static status create(plan *p, const graph *g, const plan_options *options)
{
    if (options->precision == PRECISION_FP16 || (options->precision == PRECISION_BF16 && !p->d->has_bf16))
        return FAIL(ERR_UNSUPPORTED, "this processor has no %s arithmetic",
                    options->precision == PRECISION_FP16 ? "fp16" : "bf16");
    TRY(graph_check(g));
    TRY(check_stored(p, g));
    TRY(make_arrays(p, g));
    TRY(note_convolutions(p, g));
    if (has_kind(g, OP_UPDATE)) return update_plan_create(p, g);
    if (has_kind(g, OP_AUGMENT)) return augment_plan_create(p, g);
    return options->training ? train_plan_create(p, g, options->share) : infer_plan_create(p, g, options->share);
}

status cpu_plan_create(device *d, const graph *g, const plan_options *options, plan **out)
{
    plan *p;
    *out = NULL;
    parallel_set_threads(d->threads);
    TRY(array_new(&p, 1));
    p->d = d;
    p->precision = options->precision;
    p->team = options->training ? options->team : NULL;
    memcpy(p->buffers, options->buffers, sizeof p->buffers);
    status s = create(p, g, options);
    if (s != OK) cpu_plan_destroy(&p);
    *out = p;
    return s;
}

void cpu_plan_destroy(plan **out)
{
    plan *p = *out;
    if (!p) return;
    if (p->kind) p->kind->destroy(p);
    for (size_t i = 0; p->arrays && i < p->array_count; i++) free(p->arrays[i].memory);
    free(p->arrays);
    free(p->convs);
    free(p->conv_shapes);
    free(p->conv_first);
    free(p);
    *out = NULL;
}

/* ---- using ---- */

static status find_array(const plan *p, int tensor, size_t bytes, const plan_array **out)
{
    if (tensor < 0 || (size_t)tensor >= p->array_count)
        return FAIL(ERR_ARGUMENT, "plan: there is no tensor %d", tensor);
    const plan_array *a = &p->arrays[tensor];
    if (a->bytes != bytes)
        return FAIL(ERR_ARGUMENT, "plan: %s has %zu bytes, %zu were given", a->tensor.name, a->bytes, bytes);
    *out = a;
    return OK;
}

status cpu_plan_write(plan *p, plan_side side, int tensor, const void *from, size_t bytes)
{
    const plan_array *a = NULL;
    TRY(find_array(p, tensor, bytes, &a));
    tensor_role wanted = side == PLAN_VALUE ? TENSOR_INPUT : TENSOR_OUTPUT;
    if (a->tensor.role != wanted) return FAIL(ERR_ARGUMENT, "plan: %s cannot be written", a->tensor.name);
    if (!a->memory) return p->kind->copy_map(p, side, tensor, true, (void *)from);
    if (side == PLAN_GRADIENT) return FAIL(ERR_ARGUMENT, "plan: %s has no gradient", a->tensor.name);
    memcpy(a->memory, from, bytes);
    return OK;
}

status cpu_plan_read(plan *p, plan_side side, int tensor, void *to, size_t bytes)
{
    const plan_array *a = NULL;
    TRY(find_array(p, tensor, bytes, &a));
    bool readable = a->tensor.role == TENSOR_OUTPUT || (a->tensor.role == TENSOR_INPUT && side == PLAN_GRADIENT);
    if (!readable) return FAIL(ERR_ARGUMENT, "plan: %s cannot be read", a->tensor.name);
    if (!a->memory) return p->kind->copy_map(p, side, tensor, false, to);
    if (side == PLAN_GRADIENT) return FAIL(ERR_ARGUMENT, "plan: %s has no gradient", a->tensor.name);
    memcpy(to, a->memory, bytes);
    return OK;
}

status cpu_plan_run(plan *p)
{
    parallel_set_threads(p->d->threads);
    return p->kind->run(p);
}

int64_t cpu_plan_memory(const plan *p)
{
    int64_t bytes = p->kind->memory(p);
    for (size_t i = 0; i < p->array_count; i++)
        if (p->arrays[i].memory) bytes += (int64_t)p->arrays[i].bytes;
    return bytes;
}

status cpu_plan_profile(plan *p, int runs, text *out)
{
    p->profiling = true;
    status s = OK;
    for (int i = 0; s == OK && i < runs; i++) s = cpu_plan_run(p);
    p->profiling = false;
    if (s == OK) p->kind->report(p, runs, out);
    return s == OK ? text_status(out) : s;
}

status cpu_plan_ceiling(plan *p, double *seconds)
{
    parallel_set_threads(p->d->threads);
    bool training = p->buffers[ARENA_GRADIENTS] != NULL;
    *seconds = 0;
    for (size_t i = 0; i < p->conv_count; i++) {
        double one;
        TRY(conv_best_time(p->d, &p->convs[i].conv, &p->conv_shapes[i][0], &p->conv_shapes[i][1],
                           p->precision == PRECISION_BF16, training, !p->conv_first[i], &one));
        *seconds += one;
    }
    return OK;
}
