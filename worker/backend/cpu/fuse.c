#include "worker/backend/cpu/fuse_inner.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* ---- maps ---- */

int64_t map_image_size(const map *m, int block)
{
    return (int64_t)m->blocks * block * m->height * m->width;
}

static void add_run(map *m, channel_run run, int block)
{
    /* Whole blocks need no run of their own: logical and physical channels stay in step. */
    channel_run *last = m->runs ? &m->run[m->runs - 1] : NULL;
    if (last && last->logical == last->physical) {
        last->logical += run.logical;
        last->physical += run.physical;
    } else m->run[m->runs++] = run;
    m->blocks += run.physical / block;
}

static status lay_out(network *n, int index, const fused *op)
{
    map *m = &n->maps[index];
    m->runs = m->blocks = 0;
    if (op->kind == FUSED_REPACK) {
        const map *like = &n->maps[op->like];
        memcpy(m->run, like->run, sizeof m->run);
        m->runs = like->runs;
        m->blocks = like->blocks;
        return OK;
    }
    if (op->kind == FUSED_INPUT || op->kind == FUSED_CONV) {
        add_run(m, (channel_run){m->channels, (m->channels + n->block - 1) / n->block * n->block}, n->block);
        return OK;
    }
    for (int i = 0; i < op->inputs; i++) {
        const map *x = &n->maps[op->in[i]];
        for (int r = 0; r < x->runs; r++) {
            if (m->runs == RUNS_MOST)
                return FAIL(ERR_UNSUPPORTED,
                            "a concatenation of more than %d maps whose channels are no multiple of %d", RUNS_MOST,
                            n->block);
            add_run(m, x->run[r], n->block);
        }
    }
    return OK;
}

static bool same_layout(const map *a, const map *b)
{
    return a->runs == b->runs && !memcmp(a->run, b->run, sizeof *a->run * (size_t)a->runs);
}

static status new_map(network *n, int like, int *out)
{
    TRY(array_room(&n->maps, &n->map_room, n->map_count + 1));
    n->maps[n->map_count] = n->maps[like];
    n->maps[n->map_count].output = false;
    *out = (int)n->map_count++;
    return OK;
}

/* ---- users ---- */

int network_users(const network *n, int index, map_user users[USERS_MOST])
{
    static const map_use uses[] = {
        [FUSED_CONV] = USE_CONV, [FUSED_POINT] = USE_SEGMENT, [FUSED_UPSAMPLE] = USE_UPSAMPLE,
        [FUSED_POOL] = USE_POOL, [FUSED_REPACK] = USE_POOL,   [FUSED_CONCAT] = USE_CONCAT,
        [FUSED_LOSS] = USE_HEAD, [FUSED_DECODE] = USE_HEAD,
    };
    int count = 0;
    for (size_t i = 0; i < n->op_count; i++) {
        const fused *op = &n->ops[i];
        if (op->kind == FUSED_INPUT || op->kind == FUSED_NMS) continue;
        for (int k = 0; k < op->inputs && count < USERS_MOST; k++)
            if (op->in[k] == index) users[count++] = (map_user){(int)i, uses[op->kind], k};
        if (op->kind == FUSED_POINT && op->add == index && count < USERS_MOST)
            users[count++] = (map_user){(int)i, USE_ADD, 0};
    }
    return count;
}

int network_slot_block(const network *n, const fused *op, int slot)
{
    int block = 0;
    for (int i = 0; i < slot; i++) block += n->maps[op->in[i]].blocks;
    return block;
}

/* ---- rewriting ---- */

static status insert_op(network *n, size_t at, const fused *op)
{
    TRY(array_room(&n->ops, &n->op_room, n->op_count + 1));
    memmove(&n->ops[at + 1], &n->ops[at], sizeof *n->ops * (n->op_count - at));
    n->ops[at] = *op;
    n->op_count++;
    return OK;
}

/* The operation that makes a map, -1 for the caller's inputs. */
static int maker_of(const network *n, int index)
{
    for (size_t i = 0; i < n->op_count; i++) {
        const fused *op = &n->ops[i];
        if (op->out == index) return (int)i;
        for (int f = 0; f < op->filters; f++)
            if (op->filter[f].out == index) return (int)i;
    }
    return -1;
}

/* A copy of a map by a point operation after its maker; `fresh` is the copy. */
static status insert_copy(network *n, int of, int *fresh)
{
    TRY(new_map(n, of, fresh));
    fused copy = fused_empty(FUSED_POINT);
    copy.inputs = 1;
    copy.in[0] = of;
    copy.out = *fresh;
    return insert_op(n, (size_t)(maker_of(n, of) + 1), &copy);
}

/* A convolution's output that is used by more than one, or by what cannot take it as it is, gets a copy which all use. */
static status copy_shared_conv_outputs(network *n)
{
    for (size_t i = 0; i < n->op_count; i++) {
        if (n->ops[i].kind != FUSED_CONV) continue;
        int out = n->ops[i].out, fresh;
        map_user users[USERS_MOST];
        int count = network_users(n, out, users);
        if (count == 0 || (count == 1 && (users[0].use == USE_SEGMENT || users[0].use == USE_HEAD))) continue;
        TRY(insert_copy(n, out, &fresh));
        for (int u = 0; u < count; u++) {
            int op = users[u].op + (users[u].op > (int)i); /* the copy has pushed it on */
            if (users[u].use == USE_ADD) n->ops[op].add = fresh;
            else n->ops[op].in[users[u].slot] = fresh;
        }
    }
    return OK;
}

/* Can this member of a concat be written straight into its place? A point writes to several places; upsampling and pooling
 * to one. In inference a convolution can, too. */
static bool writes_in_place(const network *n, int member, int concat_uses)
{
    int maker = maker_of(n, member);
    if (maker < 0 || n->maps[member].output) return false;
    map_user users[USERS_MOST];
    int count = network_users(n, member, users);
    switch (n->ops[maker].kind) {
    case FUSED_POINT: return n->training ? concat_uses < POINT_OUTPUTS : concat_uses == 1;
    case FUSED_UPSAMPLE:
    case FUSED_POOL: return n->training ? count == 1 : concat_uses == 1;
    case FUSED_CONV: return !n->training && concat_uses == 1;
    default: return false;
    }
}

static status copy_concat_members(network *n)
{
    for (size_t i = 0; i < n->op_count; i++) {
        if (n->ops[i].kind != FUSED_CONCAT) continue;
        for (int k = 0; k < n->ops[i].inputs; k++) {
            int member = n->ops[i].in[k], uses = 0, fresh;
            map_user users[USERS_MOST];
            int count = network_users(n, member, users);
            for (int u = 0; u < count; u++) uses += users[u].use == USE_CONCAT;
            if (writes_in_place(n, member, uses)) continue;
            TRY(insert_copy(n, member, &fresh));
            i++; /* pushed on by the copy */
            n->ops[i].in[k] = fresh;
        }
    }
    return OK;
}

/* May b's filters be computed together with a's? Both read the same map alike, and their outputs go to point operations, which
 * read parts of a map as well as whole ones. */
static bool are_siblings(const network *n, const fused *a, const fused *b)
{
    if (b->kind != FUSED_CONV || b->in[0] != a->in[0] || memcmp(&a->conv, &b->conv, sizeof a->conv)) return false;
    if (a->filters + b->filters > FILTERS_MOST || a->conv.groups != 1) return false;
    map_user users[USERS_MOST];
    for (int f = 0; f < a->filters + b->filters; f++) {
        const fused_filter *filter = f < a->filters ? &a->filter[f] : &b->filter[f - a->filters];
        if (filter->bias >= 0 || n->maps[filter->out].output) return false;
        if (network_users(n, filter->out, users) != 1 || users[0].use != USE_SEGMENT) return false;
    }
    return true;
}

static void merge_siblings(network *n)
{
    for (size_t i = 0; i < n->op_count; i++) {
        if (n->ops[i].kind != FUSED_CONV) continue;
        for (size_t k = i + 1; k < n->op_count; k++) {
            if (!are_siblings(n, &n->ops[i], &n->ops[k])) continue;
            fused *a = &n->ops[i];
            memcpy(&a->filter[a->filters], n->ops[k].filter, sizeof *a->filter * (size_t)n->ops[k].filters);
            a->filters += n->ops[k].filters;
            memmove(&n->ops[k], &n->ops[k + 1], sizeof *n->ops * (n->op_count - k - 1));
            n->op_count--;
            k--;
        }
    }
}

/* ---- putting it together ---- */

/* The map that operation `i` adds is laid out differently: it adds a copy laid out as its result, which an operation before it
 * makes. */
static status repack_summand(network *n, size_t i)
{
    fused copy = fused_empty(FUSED_REPACK);
    copy.inputs = 1;
    copy.in[0] = n->ops[i].add;
    copy.like = n->ops[i].out;
    TRY(new_map(n, copy.in[0], &copy.out));
    n->ops[i].add = copy.out;
    return insert_op(n, i, &copy);
}

/* Pixels are no feature map. */
static bool is_picture(const graph *g, int tensor)
{
    for (size_t i = 0; i < g->node_count; i++)
        if (g->nodes[i].kind == OP_IMAGE && g->nodes[i].in[0] == tensor) return true;
    return false;
}

static status make_maps(network *n)
{
    const graph *g = n->g;
    TRY(array_room(&n->maps, &n->map_room, g->tensor_count + 8));
    n->map_count = g->tensor_count;
    for (size_t i = 0; i < g->tensor_count; i++) {
        const graph_tensor *t = &g->tensors[i];
        map *m = &n->maps[i];
        m->made_by = -1;
        m->output = t->role == TENSOR_OUTPUT;
        if (t->shape.rank != 4 || t->role == TENSOR_STORED || t->type != DTYPE_F32 || is_picture(g, (int)i)) continue;
        m->is_map = true;
        m->images = (int)t->shape.dim[0];
        m->channels = (int)t->shape.dim[1];
        m->height = (int)t->shape.dim[2];
        m->width = (int)t->shape.dim[3];
        m->wants_gradient = t->role == TENSOR_INPUT;
        if (t->role == TENSOR_INPUT)
            add_run(m, (channel_run){m->channels, (m->channels + n->block - 1) / n->block * n->block}, n->block);
    }
    return OK;
}

/* Layouts, makers and who needs a gradient, in the order of the operations. */
static status finish_maps(network *n)
{
    for (size_t i = 0; i < n->op_count; i++) {
        const fused *op = &n->ops[i];
        if (op->kind == FUSED_POINT && op->add >= 0) {
            TRY(lay_out(n, op->out, op));
            if (!same_layout(&n->maps[op->add], &n->maps[op->out])) TRY(repack_summand(n, i));
            op = &n->ops[i];
        }
        for (int f = 0; f < op->filters; f++) {
            n->maps[op->filter[f].out].made_by = (int)i;
            n->maps[op->filter[f].out].wants_gradient = true;
            TRY(lay_out(n, op->filter[f].out, op));
        }
        if (op->kind >= FUSED_LOSS || op->kind == FUSED_CONV) continue;
        map *out = &n->maps[op->out];
        out->made_by = (int)i;
        out->wants_gradient = op->norm.there;
        for (int k = 0; op->kind != FUSED_INPUT && k < op->inputs; k++)
            out->wants_gradient |= n->maps[op->in[k]].wants_gradient;
        if (op->add >= 0) out->wants_gradient |= n->maps[op->add].wants_gradient;
        TRY(lay_out(n, op->out, op));
    }
    return OK;
}

status network_create(const graph *g, bool training, int block, network *out)
{
    *out = (network){.g = g, .training = training, .block = block};
    TRY(make_maps(out));
    TRY(network_take_apart(out));
    if (training) TRY(copy_shared_conv_outputs(out));
    TRY(copy_concat_members(out));
    if (training) merge_siblings(out);
    return finish_maps(out);
}

void network_free(network *n)
{
    free(n->ops);
    free(n->maps);
    *n = (network){0};
}
