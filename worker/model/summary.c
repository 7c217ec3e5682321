/* summary.c - a model in words: the reference's table of layers and its summary. */
#include <stdlib.h>

#include "worker/model/model.h"

static void add_from(const layer *l, text *out)
{
    if (l->from_list) text_add(out, "[");
    for (int i = 0; i < l->from_count; i++) text_add(out, i ? ", %d" : "%d", l->from_written[i]);
    if (l->from_list) text_add(out, "]");
}

status model_table(const model *m, text *out)
{
    text_add(out, "\n%3s%18s%3s%10s  %-40s%-30s\n", "", "from", "n", "params", "module", "arguments");
    for (size_t i = 0; i < m->config.count; i++) {
        const layer *l = &m->config.layers[i];
        text from = {0};
        add_from(l, &from);
        text_add(out, "%3zu%18s%3d%10lld  %-40s%-30s\n", i, text_string(&from), l->repeats, (long long)l->parameters,
                 module_name(l->kind), l->arguments);
        text_free(&from);
    }
    return text_status(out);
}

status model_summary(const model *m, text *out)
{
    size_t tensors = 0;
    double parameters = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->weights[i].kind != WEIGHT_PARAMETER) continue;
        tensors++;
        parameters += (double)shape_count(&m->weights[i].shape);
    }
    text_add(out, "Model Summary: %zu layers, %g parameters, %g gradients", tensors, parameters, parameters);
    return text_status(out);
}

double model_gflops(const model *m, int height, int width)
{
    graph g;
    graph_ends ends;
    graph_request request = {.images = 1, .height = height, .width = width};
    double multiplications = 0;
    if (model_graph(m, &request, &g, &ends) == OK)
        for (size_t i = 0; i < g.node_count; i++) {
            if (g.nodes[i].kind != OP_CONV) continue;
            const shape *w = &g.tensors[g.nodes[i].in[1]].shape, *y = &g.tensors[g.nodes[i].out[0]].shape;
            multiplications += (double)shape_count(w) * (double)(y->dim[2] * y->dim[3]);
        }
    graph_free(&g);
    return 2e-9 * multiplications;
}
