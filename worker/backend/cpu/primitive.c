#include "worker/backend/cpu/primitive.h"

#include <assert.h>

/* ---- making ---- */

status primitive_create(device *d, const_dnnl_op_desc_t description, const_dnnl_primitive_attr_t attributes,
                        const primitive *hint, primitive *out)
{
    *out = (primitive){0};
    TRY_DNNL(dnnl_primitive_desc_create(&out->description, description, attributes, d->engine,
                                        hint ? hint->description : NULL),
             "choose a primitive");
    return dnnl_check(dnnl_primitive_create(&out->handle, out->description), "make a primitive");
}

static status add_to_target(dnnl_primitive_attr_t attributes)
{
    dnnl_post_ops_t after;
    TRY_DNNL(dnnl_post_ops_create(&after), "make a reorder");
    status s = dnnl_check(dnnl_post_ops_append_sum(after, 1), "make a reorder");
    if (s == OK) s = dnnl_check(dnnl_primitive_attr_set_post_ops(attributes, after), "make a reorder");
    dnnl_post_ops_destroy(after);
    return s;
}

status primitive_create_reorder(device *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool add,
                                primitive *out)
{
    dnnl_primitive_attr_t attributes;
    *out = (primitive){0};
    TRY_DNNL(dnnl_primitive_attr_create(&attributes), "make a reorder");
    status s = add ? add_to_target(attributes) : OK;
    if (s == OK)
        s = dnnl_check(dnnl_reorder_primitive_desc_create(&out->description, from, d->engine, to, d->engine,
                                                          attributes),
                       "choose a reorder");
    if (s == OK) s = dnnl_check(dnnl_primitive_create(&out->handle, out->description), "make a reorder");
    dnnl_primitive_attr_destroy(attributes);
    return s;
}

void primitive_free(primitive *p)
{
    if (p->handle) dnnl_primitive_destroy(p->handle);
    if (p->description) dnnl_primitive_desc_destroy(p->description);
    *p = (primitive){0};
}

/* ---- asking ---- */

size_t primitive_scratch(const primitive *p)
{
    return p->description ? dnnl_memory_desc_get_size(primitive_argument(p, DNNL_ARG_SCRATCHPAD)) : 0;
}

const dnnl_memory_desc_t *primitive_argument(const primitive *p, int argument)
{
    return dnnl_primitive_desc_query_md(p->description, dnnl_query_exec_arg_md, argument);
}

/* ---- running ---- */

void primitive_pass(primitive_call *call, int argument, const dnnl_memory_desc_t *layout, const void *memory)
{
    if (call->result != OK) return;
    assert(call->count < PRIMITIVE_ARGUMENTS);
    dnnl_memory_t object;
    call->result =
        dnnl_check(dnnl_memory_create(&object, layout, call->d->engine, (void *)memory), "pass memory to oneDNN");
    if (call->result == OK) call->list[call->count++] = (dnnl_exec_arg_t){argument, object};
}

status primitive_run(const primitive *p, primitive_call *call)
{
    status s = call->result;
    if (s == OK)
        s = dnnl_check(dnnl_primitive_execute(p->handle, call->d->stream, call->count, call->list), "run a primitive");
    for (int i = 0; i < call->count; i++) dnnl_memory_destroy(call->list[i].memory);
    return s;
}
