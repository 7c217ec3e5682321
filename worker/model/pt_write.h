/* pt_write.h - write torch files that torch.load(path) opens: plain dictionaries, lists, numbers, texts and tensors, and objects.
 *
 *     pt_writer *w;
 *     TRY(pt_writer_create(&w));
 *     pt_put_start(w, PT_DICT);
 *     pt_put_string(w, "epoch");        // a key, then its value
 *     pt_put_int(w, 3);
 *     pt_put_end(w);
 *     status s = pt_writer_save(w, path);
 *     pt_writer_destroy(&w);
 *
 * Values are put one after the other; within a dictionary keys and values take turns. A failure is remembered, later calls do
 * nothing, and pt_writer_save returns it. Without objects, torch.load opens the file with weights_only=True. */
#ifndef MODEL_PT_WRITE_H
#define MODEL_PT_WRITE_H

#include "worker/model/pt.h"

typedef struct pt_writer pt_writer;

typedef enum pt_container { PT_DICT, PT_ORDERED_DICT, PT_LIST, PT_TUPLE } pt_container;

status pt_writer_create(pt_writer **out);
void pt_writer_destroy(pt_writer **w);

void pt_put_none(pt_writer *w);
void pt_put_bool(pt_writer *w, bool value);
void pt_put_int(pt_writer *w, int64_t value);
void pt_put_double(pt_writer *w, double value);
/* UTF-8. */
void pt_put_string(pt_writer *w, const char *value);
/* PT_FLOAT as it is, or PT_HALF rounded from it. `values` in C order, borrowed until the file is saved. */
void pt_put_floats(pt_writer *w, pt_type type, int rank, const int64_t *shape, const float *values);
/* The same as a torch.nn.Parameter, which wants no gradient. */
void pt_put_parameter(pt_writer *w, pt_type type, int rank, const int64_t *shape, const float *values);
/* Tensors without dimensions, of PT_FLOAT and PT_LONG. */
void pt_put_float_scalar(pt_writer *w, float value);
void pt_put_long_scalar(pt_writer *w, int64_t value);
/* What is put until pt_put_end belongs to it. */
void pt_put_start(pt_writer *w, pt_container kind);
void pt_put_end(pt_writer *w);
/* An object of this class (module and name: "torch.nn.modules.conv.Conv2d"): names and values of its attributes follow, up to
 * pt_put_end. Whoever loads it has to have the class. */
void pt_put_object(pt_writer *w, const char *class);
/* set() */
void pt_put_empty_set(pt_writer *w);

/* Write the file; one whole value must have been put. Atomic: the old file stays until the new one is complete and safe on the
 * disk. ERR_IO, ERR_NO_SPACE, ERR_MEMORY. */
status pt_writer_save(pt_writer *w, const char *path);

#endif
