/* config_inner.h - a model yaml being read, for config.c and config_layer.c. */
#ifndef MODEL_CONFIG_INNER_H
#define MODEL_CONFIG_INNER_H

#include "common/yaml.h"
#include "worker/model/config.h"

typedef struct config_reader {
    const yaml *file;
    const yaml_node *root;
    model_config *c;
    bool later_c3; /* C3 is the stage of bottlenecks of later releases, not the one of cross convolutions */
} config_reader;

/* Append the layer that a node of backbone or head describes. */
status config_read_layer(config_reader *r, const yaml_node *node);
/* Is it the name of a module that is in no yaml of 2020-08-31? */
bool config_is_later_module(const char *name);

#endif
