#include "worker/train/export.h"

#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "worker/model/onnx.h"
#include "worker/train/load_model.h"

static status name_file(const char *weights, text *out)
{
    const char *extension = path_extension(weights);
    text_add(out, "%.*s.onnx", (int)(extension - weights), weights);
    TRY(text_status(out));
    return strcmp(text_string(out), weights) ? OK
                                             : FAIL(ERR_ARGUMENT, "--weights %s: a checkpoint was expected", weights);
}

static status write_file(const export_options *o, const model *m, const checkpoint *c, const char *path)
{
    int stride = 1;
    for (int i = 0; i < m->config.levels; i++)
        if ((int)m->stride[i] > stride) stride = (int)m->stride[i];
    onnx_options options = {.decode = o->decode};
    options.height = (int)train_round_size(o->train->img_size.values[0], stride);
    options.width = (int)train_round_size(o->train->img_size.values[1], stride);
    if (c->names && c->heads.classes == m->config.classes) options.names = c->names;
    TRY(onnx_write(m, &options, path));
    log_info("%s: images (batch, 3, %d, %d), %s", path, options.height, options.width,
             o->decode ? "boxes (batch, rows, 5 + classes)" : "a raw head for each level");
    return OK;
}

status export_run(const export_options *o)
{
    model m;
    checkpoint *c;
    text path = {0};
    if (!*o->train->weights) return FAIL(ERR_ARGUMENT, "--task export needs --weights");
    status s = load_model(o->train->weights, o->train->cfg, 0, &m, &c);
    if (s == OK) s = name_file(o->train->weights, &path);
    if (s == OK) s = write_file(o, &m, c, text_string(&path));
    text_free(&path);
    checkpoint_destroy(&c);
    model_free(&m);
    return s;
}
