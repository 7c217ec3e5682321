#include "worker/model/pt_write.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"
#include "worker/model/half.h"

#define ARCHIVE "archive/"

enum { OBJECT = PT_TUPLE + 1 };

/* The numbers of one tensor: an entry of its own in the archive. */
typedef struct numbers {
    pt_type type;
    int64_t count;
    const float *values; /* borrowed */
    bool is_scalar;      /* then this is the value instead, as it lies in the file */
    unsigned char scalar[8];
} numbers;

struct pt_writer {
    text pickle; /* protocol 2 */
    status result;
    numbers *tensors;
    size_t tensor_count, tensor_room;
    pt_container *open; /* OBJECT too */
    size_t depth, open_room;
};

static void add(pt_writer *w, const void *bytes, size_t count)
{
    text_add_bytes(&w->pickle, bytes, count);
}

static void add_code(pt_writer *w, char code)
{
    add(w, &code, 1);
}

/* `width` bytes, least significant first. */
static void add_number(pt_writer *w, uint64_t value, int width)
{
    for (; width-- > 0; value >>= 8) add_code(w, (char)(value & 0xff));
}

static void add_text(pt_writer *w, const char *value)
{
    size_t length = strlen(value);
    if (length > UINT32_MAX && w->result == OK) w->result = FAIL(ERR_RANGE, "a text of %zu bytes", length);
    add_code(w, 'X');
    add_number(w, length, 4);
    add(w, value, length);
}

static void add_int(pt_writer *w, int64_t value)
{
    bool one = value >= 0 && value < 256, two = value >= 0 && value < 65536, four = value == (int32_t)value;
    add_code(w, one ? 'K' : two ? 'M' : four ? 'J' : '\x8a');
    if (!four) add_code(w, 8);
    add_number(w, (uint64_t)value, one ? 1 : two ? 2 : four ? 4 : 8);
}

static void add_global(pt_writer *w, const char *module_and_name)
{
    text_add(&w->pickle, "c%s\n", module_and_name);
}

status pt_writer_create(pt_writer **out)
{
    TRY(array_new(out, 1));
    add(*out, "\x80\x02", 2);
    return OK;
}

void pt_writer_destroy(pt_writer **w)
{
    if (!*w) return;
    text_free(&(*w)->pickle);
    free((*w)->tensors);
    free((*w)->open);
    free(*w);
    *w = NULL;
}

/* ---- values ---- */

void pt_put_none(pt_writer *w)
{
    add_code(w, 'N');
}

void pt_put_bool(pt_writer *w, bool value)
{
    add_code(w, value ? '\x88' : '\x89');
}

void pt_put_int(pt_writer *w, int64_t value)
{
    add_int(w, value);
}

void pt_put_double(pt_writer *w, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_code(w, 'G');
    for (int shift = 56; shift >= 0; shift -= 8) add_code(w, (char)(bits >> shift & 0xff)); /* most significant first */
}

void pt_put_string(pt_writer *w, const char *value)
{
    add_text(w, value);
}

/* What follows up to its end belongs to it. */
static void open_container(pt_writer *w, pt_container kind)
{
    add_code(w, '(');
    status s = array_room(&w->open, &w->open_room, w->depth + 1);
    if (s == OK) w->open[w->depth] = kind;
    else if (w->result == OK) w->result = s;
    w->depth++;
}

void pt_put_start(pt_writer *w, pt_container kind)
{
    if (kind == PT_ORDERED_DICT) {
        add_global(w, "collections\nOrderedDict");
        add(w, ")R", 2);
    } else if (kind != PT_TUPLE) add_code(w, kind == PT_LIST ? ']' : '}');
    open_container(w, kind);
}

void pt_put_object(pt_writer *w, const char *class)
{
    const char *name = strrchr(class, '.');
    assert(name);
    text_add(&w->pickle, "c%.*s\n%s\n)\x81}", (int)(name - class), class, name + 1); /* made, and its state begun */
    open_container(w, (pt_container)OBJECT);
}

void pt_put_empty_set(pt_writer *w)
{
    add_global(w, "__builtin__\nset");
    add(w, "]\x85R", 3);
}

void pt_put_end(pt_writer *w)
{
    static const char *const ends[] =
        {[PT_DICT] = "u", [PT_ORDERED_DICT] = "u", [PT_LIST] = "e", [PT_TUPLE] = "t", [OBJECT] = "ub"};
    assert(w->depth > 0);
    w->depth--;
    if (w->result == OK) text_add(&w->pickle, "%s", ends[w->open[w->depth]]);
}

static void add_ints(pt_writer *w, int count, const int64_t *values)
{
    add_code(w, '(');
    for (int i = 0; i < count; i++) add_int(w, values[i]);
    add_code(w, 't');
}

/* torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks) */
static void add_tensor(pt_writer *w, int rank, const int64_t *shape, const numbers *content)
{
    static const char *const classes[PT_TYPES] =
        {[PT_FLOAT] = "torch\nFloatStorage", [PT_HALF] = "torch\nHalfStorage", [PT_LONG] = "torch\nLongStorage"};
    int64_t stride[PT_RANK], step = 1;
    char key[32];
    for (int i = rank; i-- > 0; step *= shape[i]) stride[i] = step;
    snprintf(key, sizeof key, "%zu", w->tensor_count);
    add_global(w, "torch._utils\n_rebuild_tensor_v2");
    add(w, "((", 2);
    add_text(w, "storage");
    add_global(w, classes[content->type]);
    add_text(w, key);
    add_text(w, "cpu");
    add_int(w, content->count);
    add(w, "tQ", 2);
    add_int(w, 0);
    add_ints(w, rank, shape);
    add_ints(w, rank, stride);
    pt_put_bool(w, false);
    add_global(w, "collections\nOrderedDict");
    add(w, ")RtR", 4);
    status s = array_room(&w->tensors, &w->tensor_room, w->tensor_count + 1);
    if (s == OK) w->tensors[w->tensor_count++] = *content;
    else if (w->result == OK) w->result = s;
}

void pt_put_floats(pt_writer *w, pt_type type, int rank, const int64_t *shape, const float *values)
{
    assert(rank >= 0 && rank <= PT_RANK && (type == PT_FLOAT || type == PT_HALF));
    numbers content = {.type = type, .count = 1, .values = values};
    for (int i = 0; i < rank; i++) content.count *= shape[i];
    add_tensor(w, rank, shape, &content);
}

void pt_put_parameter(pt_writer *w, pt_type type, int rank, const int64_t *shape, const float *values)
{
    add_global(w, "torch._utils\n_rebuild_parameter");
    add_code(w, '(');
    pt_put_floats(w, type, rank, shape, values);
    pt_put_bool(w, false);
    add_global(w, "collections\nOrderedDict");
    add(w, ")RtR", 4);
}

void pt_put_float_scalar(pt_writer *w, float value)
{
    numbers content = {.type = PT_FLOAT, .count = 1, .is_scalar = true};
    memcpy(content.scalar, &value, sizeof value);
    add_tensor(w, 0, NULL, &content);
}

void pt_put_long_scalar(pt_writer *w, int64_t value)
{
    numbers content = {.type = PT_LONG, .count = 1, .is_scalar = true};
    memcpy(content.scalar, &value, sizeof value);
    add_tensor(w, 0, NULL, &content);
}

/* ---- the archive ---- */

/* What libzip writes through: the descriptor of the new file, so that it is synced and renamed like any other. */
typedef struct sink {
    int descriptor;
    zip_error_t error;
} sink;

static zip_int64_t sink_fail(sink *s)
{
    zip_error_set(&s->error, ZIP_ER_WRITE, errno);
    return -1;
}

static zip_int64_t sink_write(sink *s, const char *bytes, zip_uint64_t count)
{
    for (zip_uint64_t left = count; left;) {
        ssize_t n = write(s->descriptor, bytes, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return sink_fail(s);
        bytes += n;
        left -= (zip_uint64_t)n;
    }
    return (zip_int64_t)count;
}

static zip_int64_t sink_seek(sink *s, void *data, zip_uint64_t count)
{
    const zip_source_args_seek_t *to = ZIP_SOURCE_GET_ARGS(zip_source_args_seek_t, data, count, &s->error);
    if (!to) return -1;
    return lseek(s->descriptor, to->offset, to->whence) < 0 ? sink_fail(s) : 0;
}

static zip_int64_t sink_run(void *state, void *data, zip_uint64_t count, zip_source_cmd_t command)
{
    sink *s = state;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_OPEN,
                                              ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE,
                                              ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE,
                                              ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
    case ZIP_SOURCE_STAT: /* a new file: nothing in it yet */
        zip_stat_init(data);
        ((zip_stat_t *)data)->valid = ZIP_STAT_SIZE;
        ((zip_stat_t *)data)->size = 0;
        return sizeof(zip_stat_t);
    case ZIP_SOURCE_WRITE: return sink_write(s, data, count);
    case ZIP_SOURCE_SEEK_WRITE: return sink_seek(s, data, count);
    case ZIP_SOURCE_TELL_WRITE: return lseek(s->descriptor, 0, SEEK_CUR);
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&s->error, data, count);
    default: return 0; /* nothing is read, and fs_replace_finish commits or removes */
    }
}

/* Add an entry, stored as it is, with a fixed date: the same contents give the same bytes. Takes `from`. */
static status add_entry(zip_t *archive, const char *name, zip_source_t *from)
{
    enum { FIRST_DOS_DAY = 1 << 5 | 1 }; /* 1980-01-01 */
    zip_int64_t index = from ? zip_file_add(archive, name, from, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        zip_source_free(from);
        return FAIL(ERR_MEMORY, "no memory for an entry of a torch file");
    }
    if (zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) ||
        zip_file_set_dostime(archive, (zip_uint64_t)index, 0, FIRST_DOS_DAY, 0))
        return FAIL(ERR_IO, "cannot set up an entry of a torch file: %s", zip_strerror(archive));
    return OK;
}

static status add_numbers(zip_t *archive, size_t index, const numbers *n)
{
    char name[64];
    snprintf(name, sizeof name, ARCHIVE "data/%zu", index);
    size_t bytes = (size_t)n->count * (n->type == PT_LONG ? 8 : n->type == PT_HALF ? 2 : 4);
    if (n->is_scalar) return add_entry(archive, name, zip_source_buffer(archive, n->scalar, bytes, 0));
    if (n->type == PT_FLOAT) return add_entry(archive, name, zip_source_buffer(archive, n->values, bytes, 0));
    char *made; /* libzip frees it */
    TRY(array_new(&made, bytes));
    for (int64_t i = 0; i < n->count; i++) {
        uint16_t half = half_from_float(n->values[i]);
        memcpy(made + 2 * i, &half, sizeof half);
    }
    zip_source_t *source = zip_source_buffer(archive, made, bytes, 1);
    if (!source) free(made);
    return add_entry(archive, name, source);
}

static status add_entries(const pt_writer *w, zip_t *archive)
{
    TRY(add_entry(archive, ARCHIVE "data.pkl", zip_source_buffer(archive, w->pickle.bytes, w->pickle.length, 0)));
    TRY(add_entry(archive, ARCHIVE "byteorder", zip_source_buffer(archive, "little", 6, 0)));
    for (size_t i = 0; i < w->tensor_count; i++) TRY(add_numbers(archive, i, &w->tensors[i]));
    return add_entry(archive, ARCHIVE "version", zip_source_buffer(archive, "3\n", 2, 0));
}

static status write_archive(const pt_writer *w, int descriptor, const char *path)
{
    sink to = {.descriptor = descriptor};
    zip_error_t error;
    zip_error_init(&to.error);
    zip_error_init(&error);
    zip_source_t *source = zip_source_function_create(sink_run, &to, &error);
    zip_t *archive = source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error) : NULL;
    if (!archive) {
        status s = FAIL(ERR_MEMORY, "cannot start %s: %s", path, zip_error_strerror(&error));
        zip_source_free(source);
        zip_error_fini(&error);
        return s;
    }
    status s = add_entries(w, archive);
    if (s == OK && zip_close(archive)) {
        int system = zip_error_system_type(zip_get_error(archive)) == ZIP_ET_SYS
                         ? zip_error_code_system(zip_get_error(archive))
                         : 0;
        s = FAIL(system ? fs_status_of_errno(system) : ERR_IO, "cannot write %s: %s", path, zip_strerror(archive));
    }
    if (s != OK) zip_discard(archive);
    zip_error_fini(&error);
    return s;
}

status pt_writer_save(pt_writer *w, const char *path)
{
    assert(w->depth == 0);
    int descriptor;
    char *part;
    add_code(w, '.');
    if (w->result == OK) w->result = text_status(&w->pickle);
    if (w->result != OK) return w->result;
    TRY(fs_replace_start(path, 0644, &descriptor, &part));
    status s = fs_replace_finish(path, descriptor, part, write_archive(w, descriptor, path));
    free(part);
    return s;
}
