/* primitive.h - oneDNN's primitives with what a run of one needs. */
#ifndef CPU_PRIMITIVE_H
#define CPU_PRIMITIVE_H

#include "worker/backend/cpu/device.h"

typedef struct primitive { /* {0}: none */
    dnnl_primitive_t handle;
    dnnl_primitive_desc_t description;
} primitive;

/* Take an operation's description, a dnnl_..._desc_t; `hint`, or NULL, is the forward pass of a gradient. ERR_UNSUPPORTED when
 * oneDNN has no code for it. */
status primitive_create(device *d, const_dnnl_op_desc_t description, const_dnnl_primitive_attr_t attributes,
                        const primitive *hint, primitive *out);
/* A copy from one order to another; `add`: onto what is there. */
status primitive_create_reorder(device *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool add,
                                primitive *out);
void primitive_free(primitive *p);

/* Bytes of scratch memory that a run needs; 0 for {0}. */
size_t primitive_scratch(const primitive *p);
/* Layout of an argument (DNNL_ARG_...). */
const dnnl_memory_desc_t *primitive_argument(const primitive *p, int argument);

/* ---- running ---- */

enum { PRIMITIVE_ARGUMENTS = 5 };

/* Memory objects cost a small allocation; they live for one call, so that runs in several threads share nothing. */
typedef struct primitive_call { /* {.d = device} to begin with */
    device *d;
    dnnl_exec_arg_t list[PRIMITIVE_ARGUMENTS];
    int count;
    status result;
} primitive_call;

/* At most PRIMITIVE_ARGUMENTS of them. */
void primitive_pass(primitive_call *call, int argument, const dnnl_memory_desc_t *layout, const void *memory);
/* Run with what was passed. The call is used up. */
status primitive_run(const primitive *p, primitive_call *call);

#endif
