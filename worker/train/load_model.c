#include "worker/train/load_model.h"

#include <stdlib.h>

#include "common/fs.h"
#include "worker/train/training_inner.h"

static status read_config(const char *path, const char *cfg, int classes, const checkpoint *c, model_config *out)
{
    if (!classes && c->heads.levels) classes = c->heads.classes;
    if (c->yaml) return model_config_parse(path, c->yaml, classes, out);
    if (*cfg) return model_config_read(cfg, classes, out);
    return FAIL(ERR_FORMAT, "%s holds no model yaml: give one with --cfg", path);
}

status load_model(const char *path, const char *cfg, int classes, model *m, checkpoint **out)
{
    checkpoint *c;
    model_config config;
    *m = (model){0};
    if (out) *out = NULL;
    TRY(checkpoint_load(path, &c));
    status s = read_config(path, cfg, classes, c, &config);
    if (s == OK) s = model_create(&config, m);
    if (s == OK) model_take_weights(m, c, true, path);
    if (out && s == OK) *out = c;
    else checkpoint_destroy(&c);
    return s;
}
