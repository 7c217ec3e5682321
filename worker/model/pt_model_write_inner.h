/* pt_model_write_inner.h - modules on their way into a torch file, for pt_model_write.c and pt_modules_write.c. */
#ifndef MODEL_PT_MODEL_WRITE_INNER_H
#define MODEL_PT_MODEL_WRITE_INNER_H

#include "worker/model/modules_inner.h"
#include "worker/model/pt_model_write.h"

typedef struct pt_module_writer {
    pt_writer *w;
    const pt_model_source *from;
    status result; /* of the first tensor that failed */
} pt_module_writer;

/* An attribute, or an entry of a dictionary. */
void pt_put_key_int(pt_writer *w, const char *key, int64_t value);
void pt_put_key_bool(pt_writer *w, const char *key, bool value);
void pt_put_key_double(pt_writer *w, const char *key, double value);
void pt_put_key_string(pt_writer *w, const char *key, const char *value);
void pt_put_key_none(pt_writer *w, const char *key);
void pt_start_dict(pt_writer *w, const char *key);
void pt_put_empty_dict(pt_writer *w, const char *key);

/* A module up to its tensors: what torch.nn.Module of any release looks for. All modules end with pt_put_end. */
void pt_start_module(pt_module_writer *o, const char *class);
void pt_put_no_tensors(pt_module_writer *o);
/* One made of others: they follow, each behind its name, up to pt_put_end; then its own attributes, up to another. */
void pt_start_parent(pt_module_writer *o, const char *class);
/* One with nothing but attributes. */
void pt_start_leaf(pt_module_writer *o, const char *class);
/* The attribute `stride`, which stays float32 in a model of half precision. */
void pt_put_strides(pt_module_writer *o);

/* A layer that reads `in` channels, with all in it, up to the attributes that every layer has. */
void pt_start_layer(pt_module_writer *o, const prefix *p, const layer *l, int in);

#endif
