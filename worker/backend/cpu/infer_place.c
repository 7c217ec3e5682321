#include "worker/backend/cpu/infer_place.h"

#include <stdlib.h>

#include "common/array.h"
#include "worker/backend/cpu/kernels.h"
#include "worker/backend/cpu/place.h"

/* ---- what a convolution takes over ---- */

static bool conv_folds(const infer_places *p, int map_index)
{
    map_user users[USERS_MOST];
    int maker = p->n->maps[map_index].made_by;
    return maker >= 0 && p->n->ops[maker].kind == FUSED_CONV && !p->n->maps[map_index].output &&
           network_users(p->n, map_index, users) == 1;
}

static void find_folds(infer_places *p)
{
    for (size_t i = 0; i < p->n->op_count; i++) p->folds_into[i] = -1;
    for (size_t i = 0; i < p->n->op_count; i++) {
        const fused *op = &p->n->ops[i];
        if (op->kind != FUSED_POINT) continue;
        bool all = op->norm.there || op->activation != ACTIVATION_NONE;
        for (int k = 0; k < op->inputs; k++) all = all && conv_folds(p, op->in[k]);
        for (int k = 0; all && k < op->inputs; k++) p->folds_into[p->n->maps[op->in[k]].made_by] = (int)i;
        p->folded[i] = all;
    }
}

/* ---- places ---- */

static status new_spot(infer_places *p, int map_index, bool fp32, spot *out)
{
    const map *m = &p->n->maps[map_index];
    *out = (spot){.fp32 = fp32};
    return memory_add(&p->memory, map_image_size(m, p->n->block) * (p->bf16 && !fp32 ? 2 : 4), &out->item);
}

int64_t infer_panel(const infer_places *p, int map_index)
{
    const map *m = &p->n->maps[map_index];
    return (int64_t)m->height * m->width * p->n->block * (p->bf16 && !p->spots[map_index].fp32 ? 2 : 4);
}

int64_t infer_offset(const infer_places *p, int map_index)
{
    const spot *s = &p->spots[map_index];
    return p->memory.items[s->item].offset + s->first * infer_panel(p, map_index);
}

/* The map that an operation really writes: a folding convolution writes into its point's output. */
static void touch(infer_places *p, int map_index, int moment)
{
    if (map_index >= 0 && p->spots[map_index].item >= 0) memory_touch(&p->memory, p->spots[map_index].item, moment);
}

static status place_members(infer_places *p)
{
    for (size_t i = 0; i < p->n->op_count; i++) {
        const fused *op = &p->n->ops[i];
        if (op->kind != FUSED_CONCAT) continue;
        TRY(new_spot(p, op->out, false, &p->spots[op->out]));
        for (int k = 0; k < op->inputs; k++) {
            p->spots[op->in[k]] = p->spots[op->out];
            p->spots[op->in[k]].first += network_slot_block(p->n, op, k);
        }
    }
    return OK;
}

static status place_output(infer_places *p, int i)
{
    const fused *op = &p->n->ops[i];
    int point = p->folds_into[i];
    if (point < 0) {
        if (p->spots[op->out].item >= 0) return OK;
        return new_spot(p, op->out, map_is_head(p->n, op->out), &p->spots[op->out]);
    }
    const fused *into = &p->n->ops[point];
    if (p->spots[into->out].item < 0) TRY(new_spot(p, into->out, false, &p->spots[into->out]));
    int slot = 0;
    while (into->in[slot] != op->out) slot++;
    p->spots[op->out] = p->spots[into->out];
    p->spots[op->out].first += network_slot_block(p->n, into, slot);
    return OK;
}

bool infer_is_kept(const infer_places *p, int map_index)
{
    const map *m = &p->n->maps[map_index];
    if (!m->is_map || !m->runs) return false;
    return m->output || m->made_by < 0 || map_is_head(p->n, map_index);
}

static status place_all(infer_places *p)
{
    int end = (int)p->n->op_count;
    for (size_t i = 0; i < p->n->map_count; i++) p->spots[i].item = -1;
    TRY(place_members(p));
    for (size_t i = 0; i < p->n->map_count; i++)
        if (p->n->maps[i].is_map && p->n->maps[i].made_by < 0 && p->n->maps[i].runs) {
            TRY(new_spot(p, (int)i, map_is_head(p->n, (int)i), &p->spots[i]));
            touch(p, (int)i, 0);
        }
    for (int i = 0; i < end; i++) {
        const fused *op = &p->n->ops[i];
        if (op->kind >= FUSED_LOSS) continue;
        if (op->kind != FUSED_CONCAT) TRY(place_output(p, i));
        for (int k = 0; op->kind != FUSED_INPUT && k < op->inputs; k++) touch(p, op->in[k], i);
        touch(p, op->add, i);
        touch(p, op->out, i);
    }
    for (size_t i = 0; i < p->n->map_count; i++)
        if (infer_is_kept(p, (int)i)) touch(p, (int)i, end);
    TRY(memory_lay_out(&p->memory));
    p->arena_bytes = (p->memory.bytes + 4095) / 4096 * 4096;
    return OK;
}

status infer_places_create(const network *n, bool bf16, infer_places *out)
{
    *out = (infer_places){.n = n, .bf16 = bf16};
    TRY(array_new(&out->spots, n->map_count));
    TRY(array_new(&out->folded, n->op_count));
    TRY(array_new(&out->folds_into, n->op_count));
    find_folds(out);
    return place_all(out);
}

void infer_places_free(infer_places *p)
{
    free(p->spots);
    free(p->folded);
    free(p->folds_into);
    memory_free(&p->memory);
    *p = (infer_places){0};
}
