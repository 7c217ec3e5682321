/* pt.h - read torch files: .pt of torch.save(), checkpoints and weights.
 *
 * Both formats are understood: the zip archive of today (NAME/data.pkl, a pickle; NAME/data/0, 1, ..., the numbers of one storage
 * each) and the older one (five pickles, then the storages one after the other). The pickle is read as data (pickle.h): nothing
 * in the file is run, whatever classes it names. Numbers come out as float32.
 *
 * Every error names the file and says what was expected: ERR_FORMAT for what is malformed or cut short, ERR_UNSUPPORTED for what
 * torch could read and this cannot. */
#ifndef MODEL_PT_H
#define MODEL_PT_H

#include "worker/model/pickle.h"

typedef struct pt_file pt_file;

/* Open a file, read its pickle and check that every storage it speaks of is there in full. */
status pt_open(const char *path, pt_file **out);
void pt_close(pt_file **f);
/* What torch.load() would return. Borrowed from the file, as all values below it. */
const pickle_value *pt_root(const pt_file *f);

/* ---- tensors ---- */

typedef enum pt_type {
    PT_FLOAT,
    PT_HALF,
    PT_BFLOAT16,
    PT_DOUBLE,
    PT_LONG,
    PT_INT,
    PT_SHORT,
    PT_CHAR,
    PT_BYTE,
    PT_BOOL,
    PT_TYPES,
} pt_type;

enum { PT_RANK = 8 };

/* Where the numbers of a tensor are. Parameters are tensors too. */
typedef struct pt_tensor {
    pt_type type;
    int rank;
    int64_t shape[PT_RANK], stride[PT_RANK]; /* in elements */
    int64_t offset;                          /* of the first element in its storage */
    int64_t count;                           /* of elements */
    size_t storage;                          /* for pt.c */
} pt_tensor;

bool pt_is_tensor(const pickle_value *v);
/* ERR_FORMAT when it is no tensor or reaches beyond its storage. */
status pt_tensor_of(const pt_file *f, const pickle_value *v, pt_tensor *out);
/* Its elements in C order, `count` of them. Integers beyond 2^24 are rounded. */
status pt_read(pt_file *f, const pt_tensor *t, float *out);
/* The same for integers and booleans, exactly; ERR_FORMAT for other types. */
status pt_read_ints(pt_file *f, const pt_tensor *t, int64_t *out);

/* A number: plain, as a NumPy scalar, or as an array or tensor of one element. ERR_FORMAT if it is none; `what` is its name for
 * the message. */
status pt_number(pt_file *f, const pickle_value *v, const char *what, double *out);

/* ---- models ---- */

typedef struct pt_entry {
    char *name; /* model.0.conv.conv.weight */
    pt_tensor tensor;
    bool parameter; /* of a module; false for buffers, and for all of a plain dictionary */
} pt_entry;

typedef struct pt_state {
    pt_entry *entries; /* in the order of state_dict() */
    size_t count, room;
} pt_state;

/* The state_dict of a model: of a module object with all inside it, or of a plain dictionary of tensors. The caller frees with
 * pt_state_free, also after an error. */
status pt_state_of(const pt_file *f, const pickle_value *model, pt_state *out);
void pt_state_free(pt_state *s);

#endif
