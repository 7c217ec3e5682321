#include "tests/backend/plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t plain_count(const plain *p, int tensor)
{
    return (size_t)shape_count(&p->g->tensors[tensor].shape);
}

void plain_create(const graph *g, bool training, const float *weights, plain *out)
{
    *out = (plain){.g = g, .training = training};
    out->value = calloc(g->tensor_count, sizeof *out->value);
    out->gradient = calloc(g->tensor_count, sizeof *out->gradient);
    if (!out->value || !out->gradient) abort();
    for (size_t i = 0; i < g->tensor_count; i++) {
        size_t count = plain_count(out, (int)i);
        out->value[i] = calloc(count, sizeof **out->value);
        out->gradient[i] = calloc(count, sizeof **out->gradient);
        if (!out->value[i] || !out->gradient[i]) abort();
        for (size_t k = 0; g->tensors[i].role == TENSOR_STORED && k < count; k++)
            out->value[i][k] = (double)weights[g->tensors[i].offset + (int64_t)k];
    }
}

void plain_free(plain *p)
{
    for (size_t i = 0; i < p->g->tensor_count; i++) {
        free(p->value[i]);
        free(p->gradient[i]);
    }
    free(p->value);
    free(p->gradient);
}

/* ---- helpers ---- */

typedef struct dims {
    int64_t n, c, h, w;
} dims;

static dims dims_of(const plain *p, int tensor)
{
    const int64_t *d = p->g->tensors[tensor].shape.dim;
    return (dims){d[0], d[1], d[2], d[3]};
}

static int64_t at(dims d, int64_t n, int64_t c, int64_t y, int64_t x)
{
    return ((n * d.c + c) * d.h + y) * d.w + x;
}

static double act(double z, activation kind)
{
    switch (kind) {
    case ACTIVATION_HARDSWISH: return z * fmin(fmax(z + 3, 0), 6) / 6;
    case ACTIVATION_LEAKY_RELU: return z > 0 ? z : 0.1 * z;
    case ACTIVATION_SILU: return z / (1 + exp(-z));
    default: return z > 0 ? z : 0;
    }
}

static double act_slope(double z, activation kind)
{
    double s = 1 / (1 + exp(-z));
    switch (kind) {
    case ACTIVATION_HARDSWISH: return z < -3 ? 0 : z > 3 ? 1 : z / 3 + 0.5;
    case ACTIVATION_LEAKY_RELU: return z > 0 ? 1 : 0.1;
    case ACTIVATION_SILU: return s * (1 + z * (1 - s));
    default: return z > 0;
    }
}

/* Visit every product of a convolution: y[iy] += x[ix] * w[iw]. */
typedef void (*product)(double *y, double *x, double *w);

static void visit_products(plain *p, const graph_node *n, double **arrays, product visit)
{
    const conv_parameters *c = &n->conv;
    dims x = dims_of(p, n->in[0]), w = dims_of(p, n->in[1]), y = dims_of(p, n->out[0]);
    int64_t out_group = y.c / c->groups;
    for (int64_t b = 0; b < y.n; b++)
        for (int64_t o = 0; o < y.c; o++)
            for (int64_t i = 0; i < y.h; i++)
                for (int64_t j = 0; j < y.w; j++)
                    for (int64_t k = 0; k < w.c; k++)
                        for (int64_t r = 0; r < w.h; r++)
                            for (int64_t s = 0; s < w.w; s++) {
                                int64_t row = i * c->stride_h - c->pad_h + r, column = j * c->stride_w - c->pad_w + s;
                                if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
                                visit(arrays[n->out[0]] + at(y, b, o, i, j),
                                      arrays[n->in[0]] + at(x, b, o / out_group * w.c + k, row, column),
                                      arrays[n->in[1]] + at(w, o, k, r, s));
                            }
}

static void add_product(double *y, double *x, double *w)
{
    *y += *x * *w;
}

/* ---- forward ---- */

static void conv_forward(plain *p, const graph_node *n)
{
    dims y = dims_of(p, n->out[0]);
    for (int64_t i = 0; i < y.n * y.c * y.h * y.w; i++)
        p->value[n->out[0]][i] = n->in[2] >= 0 ? p->value[n->in[2]][i / (y.h * y.w) % y.c] : 0;
    visit_products(p, n, p->value, add_product);
}

/* Mean and variance that a channel is normalized with. */
static void norm_statistics(const plain *p, const graph_node *n, int64_t c, double *mean, double *variance)
{
    dims d = dims_of(p, n->in[0]);
    *mean = p->value[n->in[3]][c];
    *variance = p->value[n->in[4]][c];
    if (!p->training) return;
    double count = (double)(d.n * d.h * d.w);
    *mean = *variance = 0;
    for (int64_t b = 0; b < d.n; b++)
        for (int64_t i = 0; i < d.h * d.w; i++) *mean += p->value[n->in[0]][at(d, b, c, 0, 0) + i] / count;
    for (int64_t b = 0; b < d.n; b++)
        for (int64_t i = 0; i < d.h * d.w; i++)
            *variance += pow(p->value[n->in[0]][at(d, b, c, 0, 0) + i] - *mean, 2) / count;
}

static void norm_forward(plain *p, const graph_node *n)
{
    dims d = dims_of(p, n->in[0]);
    double count = (double)(d.n * d.h * d.w), m = (double)n->norm.momentum;
    for (int64_t c = 0; c < d.c; c++) {
        double mean, variance;
        norm_statistics(p, n, c, &mean, &variance);
        double scale = p->value[n->in[1]][c] / sqrt(variance + (double)n->norm.eps);
        for (int64_t b = 0; b < d.n; b++)
            for (int64_t i = 0; i < d.h * d.w; i++) {
                int64_t k = at(d, b, c, 0, 0) + i;
                p->value[n->out[0]][k] = (p->value[n->in[0]][k] - mean) * scale + p->value[n->in[2]][c];
            }
        if (!p->training) continue;
        p->value[n->in[3]][c] = (1 - m) * p->value[n->in[3]][c] + m * mean;
        p->value[n->in[4]][c] = (1 - m) * p->value[n->in[4]][c] + m * variance * count / (count - 1);
    }
}

/* Copy a concat's members in (forward), or their gradients out. */
static void concat_copy(plain *p, const graph_node *n, bool forward)
{
    dims y = dims_of(p, n->out[0]);
    int64_t first = 0;
    for (int k = 0; k < n->inputs; k++) {
        dims x = dims_of(p, n->in[k]);
        for (int64_t b = 0; b < x.n; b++)
            for (int64_t i = 0; i < x.c * x.h * x.w; i++) {
                int64_t from = at(x, b, 0, 0, 0) + i, to = at(y, b, first, 0, 0) + i;
                if (forward) p->value[n->out[0]][to] = p->value[n->in[k]][from];
                else p->gradient[n->in[k]][from] += p->gradient[n->out[0]][to];
            }
        first += x.c;
    }
}

/* The first maximum of a window. */
static int64_t pool_winner(const plain *p, const graph_node *n, int64_t b, int64_t c, int64_t y, int64_t x)
{
    dims d = dims_of(p, n->in[0]);
    int64_t top = y * n->pool.stride - n->pool.pad, left = x * n->pool.stride - n->pool.pad, best = -1;
    for (int64_t r = top; r < top + n->pool.size; r++)
        for (int64_t s = left; s < left + n->pool.size; s++) {
            if (r < 0 || r >= d.h || s < 0 || s >= d.w) continue;
            int64_t k = at(d, b, c, r, s);
            if (best < 0 || p->value[n->in[0]][k] > p->value[n->in[0]][best]) best = k;
        }
    return best;
}

/* Pooling and upsampling: output element k comes from one input element. */
static int64_t source_of(const plain *p, const graph_node *n, int64_t k)
{
    dims x = dims_of(p, n->in[0]), y = dims_of(p, n->out[0]);
    int64_t column = k % y.w, row = k / y.w % y.h, c = k / (y.w * y.h) % y.c, b = k / (y.w * y.h * y.c);
    if (n->kind == OP_UPSAMPLE) return at(x, b, c, row / 2, column / 2);
    return pool_winner(p, n, b, c, row, column);
}

void plain_forward(plain *p)
{
    for (size_t i = 0; i < p->g->node_count; i++) {
        const graph_node *n = &p->g->nodes[i];
        double *y = p->value[n->out[0]], *x = p->value[n->in[0]];
        int64_t count = (int64_t)plain_count(p, n->out[0]);
        switch (n->kind) {
        case OP_CONV: conv_forward(p, n); break;
        case OP_NORM: norm_forward(p, n); break;
        case OP_CONCAT: concat_copy(p, n, true); break;
        case OP_ACTIVATION:
            for (int64_t k = 0; k < count; k++) y[k] = act(x[k], n->activation);
            break;
        case OP_ADD:
            for (int64_t k = 0; k < count; k++) y[k] = x[k] + p->value[n->in[1]][k];
            break;
        case OP_IMAGE: memcpy(y, x, (size_t)count * sizeof *y); break;
        case OP_UPSAMPLE:
        case OP_MAXPOOL:
            for (int64_t k = 0; k < count; k++) y[k] = x[source_of(p, n, k)];
            break;
        default: abort();
        }
    }
}

/* ---- backward ---- */

static void add_gradient_of_input(double *y, double *x, double *w)
{
    *x += *y * *w;
}

static void add_gradient_of_weight(double *y, double *x, double *w)
{
    *w += *y * *x;
}

/* visit_products over a mixture of values and gradients. */
static void conv_backward(plain *p, const graph_node *n)
{
    double **mixed = malloc(p->g->tensor_count * sizeof *mixed);
    if (!mixed) abort();
    memcpy(mixed, p->gradient, p->g->tensor_count * sizeof *mixed);
    mixed[n->in[1]] = p->value[n->in[1]];
    visit_products(p, n, mixed, add_gradient_of_input);
    mixed[n->in[1]] = p->gradient[n->in[1]];
    mixed[n->in[0]] = p->value[n->in[0]];
    visit_products(p, n, mixed, add_gradient_of_weight);
    free(mixed);
    dims y = dims_of(p, n->out[0]);
    for (int64_t i = 0; n->in[2] >= 0 && i < y.n * y.c * y.h * y.w; i++)
        p->gradient[n->in[2]][i / (y.h * y.w) % y.c] += p->gradient[n->out[0]][i];
}

static void norm_backward(plain *p, const graph_node *n)
{
    dims d = dims_of(p, n->in[0]);
    double count = (double)(d.n * d.h * d.w);
    for (int64_t c = 0; c < d.c; c++) {
        double mean, variance, sum = 0, product = 0;
        norm_statistics(p, n, c, &mean, &variance);
        double inverse = 1 / sqrt(variance + (double)n->norm.eps);
        for (int64_t b = 0; b < d.n; b++)
            for (int64_t i = 0; i < d.h * d.w; i++) {
                int64_t k = at(d, b, c, 0, 0) + i;
                sum += p->gradient[n->out[0]][k];
                product += p->gradient[n->out[0]][k] * (p->value[n->in[0]][k] - mean) * inverse;
            }
        p->gradient[n->in[2]][c] += sum;
        p->gradient[n->in[1]][c] += product;
        for (int64_t b = 0; b < d.n; b++)
            for (int64_t i = 0; i < d.h * d.w; i++) {
                int64_t k = at(d, b, c, 0, 0) + i;
                double normal = (p->value[n->in[0]][k] - mean) * inverse;
                p->gradient[n->in[0]][k] += p->value[n->in[1]][c] * inverse *
                                            (p->gradient[n->out[0]][k] - sum / count - normal * product / count);
            }
    }
}

static void clear_gradients(plain *p)
{
    for (size_t i = 0; i < p->g->tensor_count; i++)
        if (p->g->tensors[i].role != TENSOR_OUTPUT) memset(p->gradient[i], 0, plain_count(p, (int)i) * sizeof(double));
}

void plain_backward(plain *p)
{
    clear_gradients(p);
    for (size_t i = p->g->node_count; i-- > 0;) {
        const graph_node *n = &p->g->nodes[i];
        double *dy = p->gradient[n->out[0]], *dx = p->gradient[n->in[0]], *x = p->value[n->in[0]];
        int64_t count = (int64_t)plain_count(p, n->out[0]);
        switch (n->kind) {
        case OP_CONV: conv_backward(p, n); break;
        case OP_NORM: norm_backward(p, n); break;
        case OP_CONCAT: concat_copy(p, n, false); break;
        case OP_ACTIVATION:
            for (int64_t k = 0; k < count; k++) dx[k] += dy[k] * act_slope(x[k], n->activation);
            break;
        case OP_ADD:
            for (int64_t k = 0; k < count; k++) {
                dx[k] += dy[k];
                p->gradient[n->in[1]][k] += dy[k];
            }
            break;
        case OP_UPSAMPLE:
        case OP_MAXPOOL:
            for (int64_t k = 0; k < count; k++) dx[source_of(p, n, k)] += dy[k];
            break;
        default: break;
        }
    }
}
