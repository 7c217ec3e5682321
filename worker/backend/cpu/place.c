#include "worker/backend/cpu/place.h"

#include <stdlib.h>

#include "common/array.h"

static const place nowhere = {.item = -1};

/* ---- helpers ---- */

bool map_is_head(const network *n, int index)
{
    map_user users[USERS_MOST];
    int count = network_users(n, index, users);
    for (int i = 0; i < count; i++)
        if (users[i].use != USE_HEAD) return false;
    int maker = n->maps[index].made_by;
    return count > 0 || maker < 0 || n->ops[maker].kind == FUSED_CONV;
}

static int64_t element(const places *p, const place *at)
{
    return p->bf16 && !at->fp32 ? 2 : 4;
}

int64_t place_panel(const places *p, const place *at, const map *m)
{
    return (int64_t)m->height * m->width * p->n->block * element(p, at);
}

view place_view(const places *p, const place *at, const map *m)
{
    int64_t panel = place_panel(p, at, m);
    return (view){p->memory.items[at->item].offset + at->first * panel, at->blocks * panel};
}

void *place_address(const places *p, const place *at)
{
    return memory_at(&p->memory, at->item);
}

/* New memory for `blocks` blocks of a map's size. */
static status new_place(places *p, const map *m, int blocks, bool fp32, place *out)
{
    *out = (place){.first = 0, .blocks = blocks, .fp32 = fp32};
    return memory_add(&p->memory, m->images * blocks * place_panel(p, out, m), &out->item);
}

static void touch(places *p, const place *at, int moment)
{
    if (at->item >= 0) memory_touch(&p->memory, at->item, moment);
}

/* Every place a map's value lies in. */
static void touch_value(places *p, int index, int moment)
{
    touch(p, &p->maps[index].value, moment);
    for (int i = 0; i < p->maps[index].extras; i++) touch(p, &p->maps[index].extra[i], moment);
}

static place part_of(const place *whole, int first)
{
    place part = *whole;
    part.first += first;
    return part;
}

/* ---- values ---- */

/* Members of concats lie in the concat's memory, so that comes first. */
static status place_concats(places *p)
{
    const network *n = p->n;
    for (size_t i = 0; i < n->op_count; i++) {
        const fused *op = &n->ops[i];
        if (op->kind != FUSED_CONCAT) continue;
        place whole;
        TRY(new_place(p, &n->maps[op->out], n->maps[op->out].blocks, false, &whole));
        p->maps[op->out].value = whole;
        for (int k = 0; k < op->inputs; k++) {
            map_places *member = &p->maps[op->in[k]];
            if (member->extras == POINT_OUTPUTS) return FAIL(ERR_UNSUPPORTED, "cpu: a map in too many concatenations");
            member->extra[member->extras++] = part_of(&whole, network_slot_block(n, op, k));
        }
    }
    return OK;
}

/* Must it lie in one piece of its own: is it read by a convolution, or by the caller? */
static bool needs_piece(const network *n, int index)
{
    map_user users[USERS_MOST];
    int count = network_users(n, index, users);
    for (int i = 0; i < count; i++)
        if (users[i].use == USE_CONV) return true;
    return n->maps[index].output;
}

static status place_value(places *p, int index)
{
    map_places *m = &p->maps[index];
    if (m->extras && !needs_piece(p->n, index)) { /* the place in the concat will do */
        m->value = m->extra[--m->extras];
        return OK;
    }
    return new_place(p, &p->n->maps[index], p->n->maps[index].blocks, map_is_head(p->n, index), &m->value);
}

static status place_convolution(places *p, int index)
{
    const fused *op = &p->n->ops[index];
    int blocks = 0, first = 0;
    for (int f = 0; f < op->filters; f++) blocks += p->n->maps[op->filter[f].out].blocks;
    TRY(new_place(p, &p->n->maps[op->out], blocks, map_is_head(p->n, op->out), &p->conv_out[index]));
    for (int f = 0; f < op->filters; f++) {
        p->maps[op->filter[f].out].value = part_of(&p->conv_out[index], first);
        first += p->n->maps[op->filter[f].out].blocks;
    }
    return OK;
}

/* Who reads and writes what at moment `i`. */
static void touch_forward(places *p, int i)
{
    const fused *op = &p->n->ops[i];
    for (int k = 0; op->kind != FUSED_INPUT && k < op->inputs; k++) touch(p, &p->maps[op->in[k]].value, i);
    if (op->add >= 0) touch(p, &p->maps[op->add].value, i);
    if (op->kind == FUSED_CONV) touch(p, &p->conv_out[i], i);
    else if (op->kind < FUSED_LOSS) touch_value(p, op->out, i);
}

static status place_values(places *p)
{
    const network *n = p->n;
    TRY(place_concats(p));
    for (size_t i = 0; i < n->map_count; i++) /* the caller's own maps */
        if (n->maps[i].is_map && n->maps[i].made_by < 0 && n->maps[i].runs) {
            TRY(place_value(p, (int)i));
            touch_value(p, (int)i, 0);
            touch(p, &p->maps[i].value, p->end);
        }
    for (size_t i = 0; i < n->op_count; i++) {
        const fused *op = &n->ops[i];
        if (op->kind == FUSED_CONV) TRY(place_convolution(p, (int)i));
        else if (op->kind < FUSED_CONCAT) TRY(place_value(p, op->out));
        touch_forward(p, (int)i);
        if (op->kind < FUSED_LOSS && n->maps[op->out].output) touch(p, &p->maps[op->out].value, p->end);
    }
    return OK;
}

/* ---- gradients ---- */

static status add_gradient(places *p, int index, const place *at, int op, int slot)
{
    map_places *m = &p->maps[index];
    if (m->gradients == POINT_GRADIENTS)
        return FAIL(ERR_UNSUPPORTED, "cpu: a map with more than %d readers", POINT_GRADIENTS);
    m->left_by[m->gradients].op = op;
    m->left_by[m->gradients].slot = slot;
    m->gradient[m->gradients++] = *at;
    return OK;
}

const place *place_left(const places *p, int map_index, int op, int slot)
{
    const map_places *m = &p->maps[map_index];
    for (int i = 0; i < m->gradients; i++)
        if (m->left_by[i].op == op && m->left_by[i].slot == slot) return &m->gradient[i];
    return NULL;
}

static status new_gradient(places *p, int index, bool fp32, int moment, int op, int slot)
{
    if (!p->n->maps[index].wants_gradient) return OK;
    place fresh;
    TRY(new_place(p, &p->n->maps[index], p->n->maps[index].blocks, fp32, &fresh));
    touch(p, &fresh, moment);
    return add_gradient(p, index, &fresh, op, slot);
}

/* A point operation writes the gradient over its input where a convolution made it for nobody else. */
static bool may_overwrite(const network *n, int index)
{
    int maker = n->maps[index].made_by;
    map_user users[USERS_MOST];
    return maker >= 0 && n->ops[maker].kind == FUSED_CONV && !n->maps[index].output &&
           network_users(n, index, users) == 1;
}

static status point_gradients(places *p, int index, int moment)
{
    const fused *op = &p->n->ops[index];
    for (int k = 0; k < op->inputs; k++) {
        if (op->norm.there || op->activation != ACTIVATION_NONE) touch(p, &p->maps[op->in[k]].value, moment);
        if (!may_overwrite(p->n, op->in[k])) TRY(new_gradient(p, op->in[k], false, moment, index, k));
        else {
            touch(p, &p->maps[op->in[k]].value, moment);
            TRY(add_gradient(p, op->in[k], &p->maps[op->in[k]].value, index, k));
        }
    }
    /* The other summand's gradient is ours: once added up, in the first of our places. */
    bool passes = op->add >= 0 && p->n->maps[op->add].wants_gradient;
    return passes ? add_gradient(p, op->add, &p->maps[op->out].gradient[0], index, -1) : OK;
}

static status concat_gradients(places *p, int index)
{
    const fused *op = &p->n->ops[index];
    for (int k = 0; k < op->inputs; k++) {
        if (!p->n->maps[op->in[k]].wants_gradient) continue;
        place part = part_of(&p->maps[op->out].gradient[0], network_slot_block(p->n, op, k));
        TRY(add_gradient(p, op->in[k], &part, index, k));
    }
    return OK;
}

static status loss_gradients(places *p, int index, int moment)
{
    const fused *op = &p->n->ops[index];
    for (int k = 0; k < op->inputs; k++) TRY(new_gradient(p, op->in[k], true, moment, index, k));
    return OK;
}

/* The gradient of what an operation made, complete at `moment`: nothing there is an error, but for what the caller gives. */
static status settle_gradient(places *p, int index, int moment)
{
    map_places *m = &p->maps[index];
    const map *of = &p->n->maps[index];
    if (!m->gradients && of->output) { /* the caller writes it before the run */
        TRY(new_gradient(p, index, false, 0, -1, -1));
        touch(p, &m->gradient[0], p->end);
    }
    if (!m->gradients) return FAIL(ERR_UNSUPPORTED, "cpu: a map that does not lead to the loss in a training plan");
    for (int i = 0; i < m->gradients; i++) touch(p, &m->gradient[i], moment);
    if (of->output || of->made_by < 0) touch(p, &m->gradient[0], p->end); /* stays readable */
    if (p->bf16 && m->gradient[0].fp32) {
        TRY(new_place(p, of, of->blocks, false, &m->narrow));
        touch(p, &m->narrow, moment);
    }
    return OK;
}

static status place_gradients(places *p)
{
    const network *n = p->n;
    for (int i = (int)n->op_count - 1; i >= 0; i--) {
        const fused *op = &n->ops[i];
        int moment = p->end - 1 - i;
        for (int f = 0; f < op->filters; f++) TRY(settle_gradient(p, op->filter[f].out, moment));
        bool plain = op->kind == FUSED_POINT || op->kind == FUSED_UPSAMPLE || op->kind == FUSED_POOL ||
                     op->kind == FUSED_REPACK || op->kind == FUSED_CONCAT;
        if (plain && !n->maps[op->out].wants_gradient) continue;
        if (plain) TRY(settle_gradient(p, op->out, moment));
        switch (op->kind) {
        case FUSED_CONV:
            touch(p, &p->maps[op->in[0]].value, moment);
            touch(p, &p->conv_out[i], moment); /* holds the gradients of all its filters */
            TRY(new_gradient(p, op->in[0], false, moment, i, 0));
            break;
        case FUSED_POINT: TRY(point_gradients(p, i, moment)); break;
        case FUSED_POOL:
            touch(p, &p->maps[op->in[0]].value, moment);
            touch(p, &p->maps[op->out].value, moment);
            TRY(new_gradient(p, op->in[0], false, moment, i, 0));
            break;
        case FUSED_REPACK:
        case FUSED_UPSAMPLE: TRY(new_gradient(p, op->in[0], false, moment, i, 0)); break;
        case FUSED_CONCAT: TRY(concat_gradients(p, i)); break;
        case FUSED_LOSS: TRY(loss_gradients(p, i, moment)); break;
        default: break;
        }
    }
    for (size_t i = 0; i < n->map_count; i++)
        if (n->maps[i].is_map && n->maps[i].made_by < 0 && n->maps[i].wants_gradient && p->maps[i].gradients)
            TRY(settle_gradient(p, (int)i, p->end));
    return OK;
}

/* ---- all of it ---- */

status places_create(const network *n, bool bf16, const memory *lender, places *out)
{
    *out = (places){.n = n, .bf16 = bf16, .end = 2 * (int)n->op_count};
    TRY(array_new(&out->maps, n->map_count));
    TRY(array_new(&out->conv_out, n->op_count));
    for (size_t i = 0; i < n->map_count; i++) out->maps[i].value = out->maps[i].narrow = nowhere;
    for (size_t i = 0; i < n->op_count; i++) out->conv_out[i] = nowhere;
    TRY(place_values(out));
    TRY(place_gradients(out));
    TRY(memory_lay_out(&out->memory));
    return memory_take(&out->memory, lender);
}

void places_free(places *p)
{
    free(p->maps);
    free(p->conv_out);
    memory_free(&p->memory);
    *p = (places){0};
}
