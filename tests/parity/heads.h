/* heads.h - the detection heads of the fixtures' models, and their raw predictions laid out as a plan keeps them. */
#ifndef TESTS_PARITY_HEADS_H
#define TESTS_PARITY_HEADS_H

#include "tests/parity/parity.h"
#include "worker/backend/cpu/detect.h"

/* The heads of model/<name> from its info.json; false, with a failed case, if they cannot be read. */
bool heads_read(parity *p, const char *name, detect_parameters *out);
/* The name of a model in the fixtures with that many classes and levels, NULL if there is none. Kept by the parity. */
const char *heads_find(parity *p, int classes, int levels);

/* The loss of these heads under the hyperparameters of a fixture, which are used as they are: the class gain is not scaled. */
void heads_loss(parity *p, const yaml_node *hyp, const detect_parameters *heads, loss_parameters *out);

/* The layouts that a plan can use: blocks of 16 and 8 channels, and all channels together. */
enum { HEADS_LAYOUTS = 3 };
extern const char *const heads_layouts[HEADS_LAYOUTS];

/* A view over a copy of `raw`, the predictions of one level as the reference has them (images, anchors, height, width, 5 +
 * classes), of which images from..from+images-1 are taken. Padding is NaN, so is the gradient (if one is asked for): reading
 * the one or forgetting to write the other shows. Memory is kept by the parity. */
detect_view heads_view(parity *p, const npy *raw, int64_t from, int64_t images, int layout, bool gradient);
/* The gradient of such a view, back in the reference's order; a failed case if padding is not 0. Kept by the parity. */
const float *heads_gradient(parity *p, const detect_view *v, const npy *raw);

#endif
