/* pickle.c - the stack machine.
 *
 * Each opcode is a row of one table: a function and what distinguishes it from its relatives (the width of a length, the kind
 * of a container). The machine has a stack of values, the places of marks on it, and the memo. Source: the documentation of
 * opcodes in Python's pickletools module. */
#include "worker/model/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "worker/model/pickle_inner.h"

status pickle_malformed(const machine *m, const char *what)
{
    FAIL(ERR_FORMAT, "%s: malformed pickle at byte %zu: %s", m->name, m->start, what);
    return ERR_FORMAT; /* a constant, so that compilers see what is set after a success */
}

/* ---- bytes ---- */

status pickle_take(machine *m, size_t count, const unsigned char **out)
{
    if (count > m->count - m->at) return pickle_malformed(m, "it ends in the middle");
    *out = m->bytes + m->at;
    m->at += count;
    return OK;
}

/* An unsigned number of `width` bytes, least significant first. */
status pickle_take_number(machine *m, int width, uint64_t *out)
{
    const unsigned char *bytes;
    TRY(pickle_take(m, (size_t)width, &bytes));
    *out = 0;
    for (int i = width; i-- > 0;) *out = *out << 8 | bytes[i];
    return OK;
}

/* The rest of the line, without its end. The copy lives as long as the pickle. */
status pickle_take_line(machine *m, const char **out, size_t *length)
{
    const unsigned char *from = m->bytes + m->at, *end = memchr(from, '\n', m->count - m->at);
    if (!end) return pickle_malformed(m, "it ends in the middle of a line");
    *length = (size_t)(end - from);
    m->at += *length + 1;
    return pickle_keep_bytes(m->p, from, *length, out);
}

/* ---- the stack ---- */

status pickle_push(machine *m, pickle_value *v)
{
    TRY(array_room(&m->stack, &m->stack_room, m->depth + 1));
    m->stack[m->depth++] = v;
    return OK;
}

status pickle_push_new(machine *m, pickle_kind kind, pickle_value **out)
{
    TRY(pickle_new(m->p, kind, out));
    return pickle_push(m, *out);
}

status pickle_push_text(machine *m, pickle_kind kind, const void *bytes, size_t count)
{
    pickle_value *v;
    TRY(pickle_push_new(m, kind, &v));
    v->length = count;
    return pickle_keep_bytes(m->p, bytes, count, &v->bytes);
}

/* Nothing below the last mark may be touched. */
static size_t above_mark(const machine *m)
{
    return m->depth - (m->mark_count ? m->marks[m->mark_count - 1] : 0);
}

static status pop(machine *m, pickle_value **out)
{
    if (!above_mark(m)) return pickle_malformed(m, "the stack is empty");
    *out = m->stack[--m->depth];
    return OK;
}

static status top(const machine *m, pickle_value **out)
{
    if (!above_mark(m)) return pickle_malformed(m, "the stack is empty");
    *out = m->stack[m->depth - 1];
    return OK;
}

/* Take the last mark away; what was pushed after it stays above *from. */
static status pop_mark(machine *m, size_t *from)
{
    if (!m->mark_count) return pickle_malformed(m, "a mark is missing");
    *from = m->marks[--m->mark_count];
    return OK;
}

/* ---- opcodes: containers ---- */

static status do_empty(machine *m, int kind)
{
    pickle_value *v;
    return pickle_push_new(m, (pickle_kind)kind, &v);
}

/* Members from the stack: pairs of key and value for a dictionary. They leave the stack. */
static status add_from(machine *m, pickle_value *into, size_t from, bool pairs)
{
    if (pairs && (m->depth - from) % 2) return pickle_malformed(m, "a key has no value");
    status s = OK;
    for (size_t i = from; s == OK && i < m->depth; i += pairs ? 2 : 1)
        s = pickle_add(m->p, into, pairs ? m->stack[i] : NULL, m->stack[i + pairs]);
    m->depth = from;
    return s == ERR_FORMAT ? pickle_malformed(m, status_message()) : s;
}

/* TUPLE1 to TUPLE3. */
static status do_tuple(machine *m, int count)
{
    pickle_value *v;
    if (above_mark(m) < (size_t)count) return pickle_malformed(m, "the stack is empty");
    TRY(pickle_new(m->p, PICKLE_TUPLE, &v));
    TRY(add_from(m, v, m->depth - (size_t)count, false));
    return pickle_push(m, v);
}

static status do_marked(machine *m, int kind)
{
    size_t from;
    pickle_value *v;
    TRY(pop_mark(m, &from));
    TRY(pickle_new(m->p, (pickle_kind)kind, &v));
    TRY(add_from(m, v, from, kind == PICKLE_DICT));
    return pickle_push(m, v);
}

static status add_to(machine *m, pickle_value *into, size_t from, bool pairs)
{
    if (into->kind == PICKLE_TUPLE) return pickle_malformed(m, "members are added to a tuple");
    return add_from(m, into, from, pairs);
}

/* APPENDS, ADDITEMS, SETITEMS. */
static status do_add_marked(machine *m, int pairs)
{
    size_t from;
    TRY(pop_mark(m, &from));
    if (!from) return pickle_malformed(m, "there is nothing to add to");
    return add_to(m, m->stack[from - 1], from, pairs);
}

/* APPEND, SETITEM. */
static status do_add(machine *m, int pairs)
{
    size_t count = pairs ? 2 : 1;
    if (above_mark(m) <= count) return pickle_malformed(m, "the stack is empty");
    return add_to(m, m->stack[m->depth - count - 1], m->depth - count, pairs);
}

/* ---- opcodes: stack and memo ---- */

static status do_mark(machine *m, int unused)
{
    (void)unused;
    TRY(array_room(&m->marks, &m->mark_room, m->mark_count + 1));
    m->marks[m->mark_count++] = m->depth;
    return OK;
}

static status do_pop(machine *m, int unused)
{
    (void)unused;
    pickle_value *v;
    size_t from;
    return m->mark_count && !above_mark(m) ? pop_mark(m, &from) : pop(m, &v);
}

static status do_pop_mark(machine *m, int unused)
{
    (void)unused;
    return pop_mark(m, &m->depth);
}

static status do_duplicate(machine *m, int unused)
{
    (void)unused;
    pickle_value *v;
    TRY(top(m, &v));
    return pickle_push(m, v);
}

enum { WIDTH_LINE = 0, WIDTH_NEXT = -1 }; /* of a memo's index: decimal in a line; the next free one */

static status memo_index(machine *m, int width, uint64_t *out)
{
    if (width != WIDTH_LINE) return pickle_take_number(m, width, out);
    const char *line;
    size_t length;
    long long value;
    TRY(pickle_take_line(m, &line, &length));
    if (!text_to_long(line, &value) || value < 0) return pickle_malformed(m, "an index was expected");
    *out = (uint64_t)value;
    return OK;
}

static status do_put(machine *m, int width)
{
    uint64_t index = 0;
    pickle_value *v;
    TRY(top(m, &v));
    if (width == WIDTH_NEXT) index = m->memo_count;
    else TRY(memo_index(m, width, &index));
    /* Picklers count up, one for each value: an index beyond the steps so far is made to ask for memory. */
    if (index > (uint64_t)m->steps) return pickle_malformed(m, "a memo's index is out of range");
    TRY(array_room(&m->memo, &m->memo_room, index + 1));
    if (!m->memo[index]) m->memo_count++;
    m->memo[index] = v;
    return OK;
}

static status do_get(machine *m, int width)
{
    uint64_t index;
    TRY(memo_index(m, width, &index));
    if (index >= m->memo_room || !m->memo[index]) return pickle_malformed(m, "a memo that was not put");
    return pickle_push(m, m->memo[index]);
}

/* ---- opcodes: classes, calls, things outside ---- */

static status push_global(machine *m, const char *module, const char *name)
{
    text full = {0};
    text_add(&full, "%s.%s", module, name);
    status s = text_status(&full);
    if (s == OK) s = pickle_push_text(m, PICKLE_GLOBAL, text_string(&full), full.length);
    text_free(&full);
    return s;
}

static status do_global(machine *m, int unused)
{
    (void)unused;
    const char *module, *name;
    size_t length;
    TRY(pickle_take_line(m, &module, &length));
    TRY(pickle_take_line(m, &name, &length));
    return push_global(m, module, name);
}

static status do_stack_global(machine *m, int unused)
{
    (void)unused;
    pickle_value *name, *module;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    if (!pickle_string(name) || !pickle_string(module)) return pickle_malformed(m, "the name of a class was expected");
    return push_global(m, module->bytes, name->bytes);
}

/* Replace what a call consumed by what it stands for. */
static status push_call(machine *m, const pickle_value *callable, const pickle_value *arguments)
{
    pickle_value *made;
    if (arguments->kind != PICKLE_TUPLE) return pickle_malformed(m, "the arguments of a call are no tuple");
    TRY(pickle_call(m->p, callable, arguments, &made));
    return pickle_push(m, made);
}

/* REDUCE, NEWOBJ: callable, arguments. */
static status do_call(machine *m, int unused)
{
    (void)unused;
    pickle_value *arguments, *callable;
    TRY(pop(m, &arguments));
    TRY(pop(m, &callable));
    return push_call(m, callable, arguments);
}

/* NEWOBJ_EX: class, arguments, named arguments; these are not kept. */
static status do_call_named(machine *m, int unused)
{
    pickle_value *named;
    TRY(pop(m, &named));
    if (named->kind != PICKLE_DICT) return pickle_malformed(m, "the named arguments of a call are no dictionary");
    return do_call(m, unused);
}

/* OBJ: mark, class, arguments ...; INST: the class is in two lines instead. */
static status do_instance(machine *m, int from_lines)
{
    size_t from;
    pickle_value *arguments, *class;
    if (from_lines) {
        TRY(do_global(m, 0));
        TRY(pop(m, &class));
    }
    TRY(pop_mark(m, &from));
    if (!from_lines) {
        if (from == m->depth) return pickle_malformed(m, "a class was expected");
        class = m->stack[from];
    }
    TRY(pickle_new(m->p, PICKLE_TUPLE, &arguments));
    TRY(add_from(m, arguments, from + !from_lines, false));
    m->depth = from;
    return push_call(m, class, arguments);
}

static status do_build(machine *m, int unused)
{
    (void)unused;
    pickle_value *state, *v;
    TRY(pop(m, &state));
    TRY(top(m, &v));
    if (v->kind != PICKLE_OBJECT && v->kind != PICKLE_DICT)
        return pickle_malformed(m, "a state for something that has none");
    v->state = state;
    return OK;
}

static status do_persistent(machine *m, int from_line)
{
    pickle_value *id, *v;
    const char *line;
    size_t length;
    if (from_line) {
        TRY(pickle_take_line(m, &line, &length));
        TRY(pickle_push_text(m, PICKLE_STRING, line, length));
    }
    TRY(pop(m, &id));
    TRY(pickle_push_new(m, PICKLE_TUPLE, &v));
    status s = pickle_add(m->p, v, NULL, id);
    v->kind = PICKLE_PERSISTENT;
    return s;
}

/* ---- opcodes: frame and end ---- */

static status do_protocol(machine *m, int unused)
{
    (void)unused;
    uint64_t protocol;
    TRY(pickle_take_number(m, 1, &protocol));
    return protocol <= 5 ? OK : pickle_malformed(m, "a protocol of 0 to 5 was expected");
}

static status do_frame(machine *m, int unused)
{
    (void)unused;
    uint64_t length;
    TRY(pickle_take_number(m, 8, &length));
    return length <= m->count - m->at ? OK : pickle_malformed(m, "it ends in the middle");
}

static status do_stop(machine *m, int unused)
{
    (void)unused;
    if (m->mark_count || m->depth != 1) return pickle_malformed(m, "it ends with something left over");
    m->p->root = m->stack[0];
    m->done = true;
    return OK;
}

typedef struct opcode {
    status (*run)(machine *m, int argument);
    int argument;
} opcode;

/* clang-format off */
static const opcode opcodes[256] = {
    /* protocol 0 and 1 */
    ['('] = {do_mark, 0},                  ['.'] = {do_stop, 0},
    ['0'] = {do_pop, 0},                   ['1'] = {do_pop_mark, 0},             ['2'] = {do_duplicate, 0},
    ['N'] = {pickle_do_constant, 'N'},            ['F'] = {pickle_do_number_line, 'F'},        ['G'] = {pickle_do_double, 0},
    ['I'] = {pickle_do_number_line, 'I'},         ['L'] = {pickle_do_number_line, 'L'},
    ['J'] = {pickle_do_int, 4},                   ['K'] = {pickle_do_int, 1},                  ['M'] = {pickle_do_int, 2},
    ['S'] = {pickle_do_text_line, 'S'},           ['V'] = {pickle_do_text_line, 'V'},
    ['T'] = {pickle_do_string, 4},                ['U'] = {pickle_do_string, 1},               ['X'] = {pickle_do_string, 4},
    [']'] = {do_empty, PICKLE_LIST},       ['}'] = {do_empty, PICKLE_DICT},      [')'] = {do_empty, PICKLE_TUPLE},
    ['l'] = {do_marked, PICKLE_LIST},      ['d'] = {do_marked, PICKLE_DICT},     ['t'] = {do_marked, PICKLE_TUPLE},
    ['a'] = {do_add, false},               ['s'] = {do_add, true},
    ['e'] = {do_add_marked, false},        ['u'] = {do_add_marked, true},
    ['p'] = {do_put, WIDTH_LINE},          ['q'] = {do_put, 1},                  ['r'] = {do_put, 4},
    ['g'] = {do_get, WIDTH_LINE},          ['h'] = {do_get, 1},                  ['j'] = {do_get, 4},
    ['c'] = {do_global, 0},                ['R'] = {do_call, 0},                 ['b'] = {do_build, 0},
    ['i'] = {do_instance, true},           ['o'] = {do_instance, false},
    ['P'] = {do_persistent, true},         ['Q'] = {do_persistent, false},
    /* protocol 2 */
    [0x80] = {do_protocol, 0},             [0x81] = {do_call, 0},
    [0x85] = {do_tuple, 1},                [0x86] = {do_tuple, 2},               [0x87] = {do_tuple, 3},
    [0x88] = {pickle_do_constant, 'T'},           [0x89] = {pickle_do_constant, 'F'},
    [0x8a] = {pickle_do_long, 1},                 [0x8b] = {pickle_do_long, 4},
    /* protocol 3 and 4, and the byte arrays of 5 */
    ['B'] = {pickle_do_bytes, 4},                 ['C'] = {pickle_do_bytes, 1},                [0x8e] = {pickle_do_bytes, 8},
    [0x8c] = {pickle_do_string, 1},               [0x8d] = {pickle_do_string, 8},              [0x96] = {pickle_do_bytes, 8},
    [0x8f] = {do_empty, PICKLE_SET},       [0x90] = {do_add_marked, false},      [0x91] = {do_marked, PICKLE_SET},
    [0x92] = {do_call_named, 0},           [0x93] = {do_stack_global, 0},
    [0x94] = {do_put, WIDTH_NEXT},         [0x95] = {do_frame, 0},
};
/* clang-format on */

static status run(machine *m)
{
    while (!m->done) {
        const unsigned char *code;
        m->start = m->at;
        TRY(pickle_take(m, 1, &code));
        if (m->steps++ == PICKLE_STEPS_MOST)
            return FAIL(ERR_RANGE, "%s: a pickle of more than %d opcodes is not accepted", m->name, PICKLE_STEPS_MOST);
        if (!opcodes[*code].run) return pickle_malformed(m, "an opcode that is not known here");
        TRY(opcodes[*code].run(m, opcodes[*code].argument));
    }
    return OK;
}

status pickle_read(const char *name, const void *bytes, size_t count, pickle **out, size_t *used)
{
    *out = NULL;
    machine m = {.name = name, .bytes = bytes, .count = count < PICKLE_BYTES_MOST ? count : PICKLE_BYTES_MOST};
    TRY(array_new(&m.p, 1));
    status s = run(&m);
    free(m.stack);
    free(m.marks);
    free(m.memo);
    if (s != OK) pickle_destroy(&m.p);
    else if (used) *used = m.at;
    *out = m.p;
    return s;
}
