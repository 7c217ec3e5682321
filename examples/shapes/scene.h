/* scene.h - one picture and what is to be found in it. */
#ifndef EXAMPLES_SHAPES_SCENE_H
#define EXAMPLES_SHAPES_SCENE_H

#include "examples/shapes/canvas.h"
#include "examples/shapes/outline.h"

enum { SCENE_CLASSES = 3, SCENE_LABELS_MOST = 16 };
extern const char *const scene_class_names[SCENE_CLASSES];

typedef struct scene_label {
    int class_index;
    rectangle box; /* of the whole object, cut off at the picture's border; pixels */
} scene_label;

typedef struct scene {
    canvas canvas;
    size_t count;
    scene_label labels[SCENE_LABELS_MOST];
} scene;

/* Compose a picture. All of it comes from the keyed numbers, which the camera goes on with. ERR_MEMORY. */
status scene_create(scene *s, int width, int height, keyed_rng *r);
void scene_free(scene *s);

#endif
