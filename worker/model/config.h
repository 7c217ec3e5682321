/* config.h - a model yaml as a list of layers.
 *
 * The file has nc, depth_multiple, width_multiple, anchors, backbone and head; each layer is [from, number, module, args].
 * Channels are scaled by width_multiple (rounded up to multiples of 8), numbers of repetition by depth_multiple.
 *
 * A file may give an `activation` for its convolutions: Hardswish (the default), SiLU, ReLU or LeakyReLU. Files that do, or have a
 * module of later releases (SPPF), mean the later C3, too.
 *
 * Source: parse_model() of models/yolo.py. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "common/text.h"
#include "worker/backend/graph.h"

enum { LAYER_INPUTS = 6, LAYER_SIZES = 4 };

typedef enum module_kind {
    MODULE_FOCUS,
    MODULE_CONV,
    MODULE_DWCONV,
    MODULE_BOTTLENECK,
    MODULE_BOTTLENECK_CSP,
    MODULE_CROSS_CONV,
    MODULE_CROSS_C3, /* C3 of 2020-08-31: a CSP stage of cross convolutions */
    MODULE_C3,       /* of later releases */
    MODULE_MIX_CONV,
    MODULE_SPP,
    MODULE_SPPF,
    MODULE_CONCAT,
    MODULE_UPSAMPLE,
    MODULE_CONV2D,
    MODULE_BATCH_NORM,
    MODULE_MAXPOOL,
    MODULE_DETECT,
    MODULE_KINDS,
} module_kind;

typedef struct layer {
    int line; /* of the yaml */
    module_kind kind;
    int from[LAYER_INPUTS]; /* layers; -1: the model's input */
    int from_count;
    bool from_list;                  /* written as a list */
    int from_written[LAYER_INPUTS];  /* as in the yaml, for the table */
    int repeats;                     /* one after the other */
    int in, out;                     /* channels; of a concat `in` is their sum */
    int kernel, stride, pad, groups; /* pad -1: kernel / 2 */
    bool activation;
    int inner; /* bottlenecks within a CSP stage */
    bool shortcut;
    double expansion;             /* of hidden channels */
    int size[LAYER_SIZES], sizes; /* SPP: of its pools; MixConv2d: of its kernels */
    bool equal;                   /* MixConv2d: as many channels for each kernel, else as many weights */
    int part[LAYER_SIZES];        /* MixConv2d: output channels of each kernel */
    int64_t parameters;           /* filled by model_create */
    char *arguments;              /* as the reference prints them */
} layer;

typedef struct model_config {
    char *text; /* the yaml, for checkpoints */
    int classes;
    double depth_multiple, width_multiple;
    activation activation;                        /* of convolutions; CSP stages have LeakyReLU of their own */
    int levels, anchors;                          /* anchors a level */
    float anchor[GRAPH_LEVELS][GRAPH_ANCHORS][2]; /* pixels, as written */
    layer *layers;
    size_t count, room;
} model_config;

/* Read a model yaml. `classes` > 0 overrides its nc. Errors name file and line: an unknown module, wrong arguments, a layer that
 * reads from one that is not there. */
status model_config_read(const char *path, int classes, model_config *out);
status model_config_parse(const char *name, const char *yaml_text, int classes, model_config *out);
void model_config_free(model_config *c);

/* "models.common.Conv": what the reference calls a module. */
const char *module_name(module_kind kind);

#endif
