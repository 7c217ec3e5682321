/* yaml_scalar.h - what a plain YAML 1.1 scalar means, as PyYAML's FullLoader resolves it. Used by yaml.c alone. */
#ifndef COMMON_YAML_SCALAR_H
#define COMMON_YAML_SCALAR_H

#include "common/yaml.h"

/* Fill kind and value of a node from its plain text: null, boolean, integer, float, else string. An integer that does
 * not fit 64 bits becomes a float. */
void yaml_resolve(yaml_node *node, const char *plain);

/* Would this plain text be read as something other than a string (dates and the merge key included)? */
bool yaml_is_special(const char *plain);

#endif
