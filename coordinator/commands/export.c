/* export: everything of every candidate, as CSV (RFC 4180, but for its line ends) or JSON lines. Numbers have as many digits as
 * read back the same double. */
#include <math.h>
#include <string.h>

#include "coordinator/commands/inner.h"

/* What stands for one candidate. `a` is the attempt that decided it, NULL: none. */
typedef struct trial {
    const looking *l;
    const store_candidate *c;
    const store_attempt *a;
} trial;

/* A value: one of a whole number, a number and a text, or nothing. */
typedef struct value {
    enum { VALUE_NOTHING, VALUE_INTEGER, VALUE_NUMBER, VALUE_TEXT } kind;
    int64_t integer;
    double number;
    const char *text;
} value;

static value integer(int64_t n)
{
    return (value){.kind = VALUE_INTEGER, .integer = n};
}

static value number(double n)
{
    return (value){.kind = VALUE_NUMBER, .number = n};
}

static value words(const char *t)
{
    return (value){.kind = t ? VALUE_TEXT : VALUE_NOTHING, .text = t};
}

static value of_attempt(const trial *t, value v)
{
    return t->a ? v : (value){0};
}

static value result(const trial *t, int index)
{
    return t->c->result_count == RESULT_COUNT ? number(t->c->results[index]) : (value){0};
}

static value parent(const trial *t)
{
    const child *made = &t->c->made;
    if (!made->parent_count) return (value){0};
    return made->parent == PARENT_MEAN ? words("mean") : integer(made->parent);
}

/*  name          value of a trial t */
#define FIELDS(ROW)                                                                                                    \
    ROW("candidate", integer(t->c->number))                                                                            \
    ROW("state", words(candidate_state_name(t->c->state)))                                                             \
    ROW("fitness",                                                                                                     \
        t->c->result_count == RESULT_COUNT ? number(fitness(t->c->results, t->l->spec.fitness)) : (value){0})          \
    ROW("P", result(t, 0))                                                                                             \
    ROW("R", result(t, 1))                                                                                             \
    ROW("mAP@.5", result(t, 2))                                                                                        \
    ROW("mAP@.5:.95", result(t, 3))                                                                                    \
    ROW("val_box", result(t, 4))                                                                                       \
    ROW("val_obj", result(t, 5))                                                                                       \
    ROW("val_cls", result(t, 6))                                                                                       \
    ROW("arrival", t->c->arrival ? integer(t->c->arrival) : (value){0})                                                \
    ROW("epochs", integer(t->c->epoch))                                                                                \
    ROW("attempts", integer(t->c->attempts))                                                                           \
    ROW("lost", integer(t->c->lost))                                                                                   \
    ROW("crashes", integer(t->c->crashes))                                                                             \
    ROW("reason", words(t->c->reason))                                                                                 \
    ROW("detail", words(t->c->detail))                                                                                 \
    ROW("bred_ms", integer(t->c->bred_ms))                                                                             \
    ROW("ended_ms", t->c->ended_ms ? integer(t->c->ended_ms) : (value){0})                                             \
    ROW("seconds", of_attempt(t, number(t->a ? t->a->seconds : 0)))                                                    \
    ROW("host", words(t->a ? t->a->host : NULL))                                                                       \
    ROW("device", words(t->a ? t->a->device : NULL))                                                                   \
    ROW("precision", words(t->a ? t->a->precision : NULL))                                                             \
    ROW("version", words(t->a ? t->a->version : NULL))                                                                 \
    ROW("threads", of_attempt(t, integer(t->a ? t->a->threads : 0)))                                                   \
    ROW("peak_memory", of_attempt(t, integer(t->a ? t->a->peak_memory : 0)))                                           \
    ROW("seen", integer((int64_t)t->c->made.seen))                                                                     \
    ROW("rounds", integer(t->c->made.rounds))                                                                          \
    ROW("parent", parent(t))

#define AS_NAME(name, expression) name,
static const char *const names[] = {FIELDS(AS_NAME)};
enum { FIELD_COUNT = sizeof names / sizeof *names };

static void get_fields(const trial *t, value out[FIELD_COUNT])
{
#define AS_VALUE(name, expression) expression,
    const value all[] = {FIELDS(AS_VALUE)};
    memcpy(out, all, sizeof all);
}

/* ---- CSV ---- */

static void add_csv_text(text *out, const char *t)
{
    if (!t[strcspn(t, ",\"\r\n")]) {
        text_add(out, "%s", t);
        return;
    }
    text_add(out, "\"");
    for (; *t; t++) text_add(out, *t == '"' ? "\"\"" : "%c", *t);
    text_add(out, "\"");
}

static void add_number(text *out, double n)
{
    char decimal[TEXT_DOUBLE_ROOM];
    text_from_double(decimal, n);
    text_add(out, "%s", decimal);
}

static void add_csv(text *out, const value *v)
{
    switch (v->kind) {
    case VALUE_NOTHING: break;
    case VALUE_INTEGER: text_add(out, "%lld", (long long)v->integer); break;
    case VALUE_NUMBER: add_number(out, v->number); break;
    case VALUE_TEXT: add_csv_text(out, v->text); break;
    }
}

/* Hyperparameters and results share names (box, obj, cls): in a flat table the former have a front. */
static void add_csv_header(text *out, const hyp_space *space)
{
    for (int i = 0; i < FIELD_COUNT; i++) text_add(out, i ? ",%s" : "%s", names[i]);
    text_add(out, ",parents");
    for (size_t i = 0; i < space->count; i++) {
        text key = {0};
        text_add(&key, "hyp.%s", space->rows[i].key);
        text_add(out, ",");
        add_csv_text(out, text_string(&key));
        text_free(&key);
    }
    text_add(out, "\n");
}

static void add_csv_line(text *out, const trial *t)
{
    value fields[FIELD_COUNT];
    const child *made = &t->c->made;
    get_fields(t, fields);
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (i) text_add(out, ",");
        add_csv(out, &fields[i]);
    }
    text_add(out, ",");
    for (size_t i = 0; i < made->parent_count; i++) text_add(out, i ? " %lld" : "%lld", (long long)made->parents[i]);
    for (size_t i = 0; i < t->l->spec.space.count; i++) {
        text_add(out, ",");
        add_number(out, made->hyps[i]);
    }
    text_add(out, "\n");
}

/* ---- JSON ---- */

/* Bytes of the UTF-8 character here, 0: it is none. */
static size_t utf8_length(const unsigned char *c)
{
    size_t length = c[0] < 0x80                   ? 1
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                    : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool outside = (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf4 && c[1] >= 0x90);
    return length > 2 && (overlong || outside) ? 0 : length;
}

static void add_json_text(text *out, const char *t)
{
    text_add(out, "\"");
    for (const unsigned char *c = (const unsigned char *)t; *c;) {
        size_t length = utf8_length(c);
        if (!length) text_add(out, "\\ufffd");
        else if (*c == '"' || *c == '\\') text_add(out, "\\%c", *c);
        else if (*c < 0x20) text_add(out, "\\u%04x", *c);
        else text_add_bytes(out, c, length);
        c += length ? length : 1;
    }
    text_add(out, "\"");
}

/* JSON has no NaN and no infinity: they are texts. */
static void add_json_number(text *out, double n)
{
    const char *quote = isfinite(n) ? "" : "\"";
    text_add(out, "%s", quote);
    add_number(out, n);
    text_add(out, "%s", quote);
}

static void add_json(text *out, const value *v)
{
    switch (v->kind) {
    case VALUE_NOTHING: text_add(out, "null"); break;
    case VALUE_INTEGER: text_add(out, "%lld", (long long)v->integer); break;
    case VALUE_NUMBER: add_json_number(out, v->number); break;
    case VALUE_TEXT: add_json_text(out, v->text); break;
    }
}

static void add_json_keyed(text *out, const char *name, const hyp_space *space, const double *values)
{
    text_add(out, ", \"%s\": {", name);
    for (size_t i = 0; i < space->count; i++) {
        if (i) text_add(out, ", ");
        add_json_text(out, space->rows[i].key);
        text_add(out, ": ");
        add_json_number(out, values[i]);
    }
    text_add(out, "}");
}

static void add_json_line(text *out, const trial *t)
{
    value fields[FIELD_COUNT];
    const child *made = &t->c->made;
    const hyp_space *space = &t->l->spec.space;
    get_fields(t, fields);
    for (int i = 0; i < FIELD_COUNT; i++) {
        text_add(out, i ? ", \"%s\": " : "{\"%s\": ", names[i]);
        add_json(out, &fields[i]);
    }
    text_add(out, ", \"parents\": [");
    for (size_t i = 0; i < made->parent_count; i++) text_add(out, i ? ", %lld" : "%lld", (long long)made->parents[i]);
    text_add(out, "], \"weights\": [");
    for (size_t i = 0; i < made->parent_count; i++) {
        if (i) text_add(out, ", ");
        add_json_number(out, made->weights[i]);
    }
    text_add(out, "]");
    add_json_keyed(out, "hyps", space, made->hyps);
    add_json_keyed(out, "factors", space, made->factors);
    text_add(out, "}\n");
}

status command_export(looking *l, export_format format, text *out)
{
    if (format == EXPORT_CSV) add_csv_header(out, &l->spec.space);
    for (size_t i = 0; i < l->trials.count; i++) {
        const store_candidate *c = &l->trials.candidates[i];
        trial t = {l, c, trials_attempt(&l->trials, c->number)};
        if (format == EXPORT_CSV) add_csv_line(out, &t);
        else add_json_line(out, &t);
    }
    return text_status(out);
}
