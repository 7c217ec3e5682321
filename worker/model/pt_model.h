/* pt_model.h - what a pickled Model of the reference says of itself, besides its tensors (pt_state_of in pt.h).
 *
 * The object is read as data: attributes by their names, modules by the names of their classes. Files of 2020-08-31 and of later
 * releases are understood; those differ in activations, in the names of the model's class and in how the classes' names are kept.
 *
 * Source: Model and Detect in models/yolo.py. */
#ifndef MODEL_PT_MODEL_H
#define MODEL_PT_MODEL_H

#include "common/text.h"
#include "worker/backend/graph.h"
#include "worker/model/pt.h"

/* Is it an object made of modules? */
bool pt_is_module(const pickle_value *v);

/* The yaml that the model was made from, as a text that model_config_parse reads; nothing is added when the model has none. Files
 * of later releases leave the activation and the kind of their C3 to the code: an `activation` then says what the modules are.
 * ERR_FORMAT for a yaml of something else than numbers, texts and lists, or one beyond all bounds. */
status pt_model_yaml(const pt_file *f, const pickle_value *model, text *out);

/* The heads: classes, strides, and anchors in grid cells as they are after autoanchor. No levels: there is no Detect. ERR_FORMAT. */
status pt_model_heads(pt_file *f, const pickle_value *model, detect_parameters *out);

/* The name of a class, NULL if it has none. */
const char *pt_model_class_name(const pickle_value *model, int number);

#endif
