/* scene.h - what all chaos runs are about: a small data set, another one, a model, and a file that passes for weights. */
#ifndef CHAOS_SCENE_H
#define CHAOS_SCENE_H

#include "tests/chaos/stage.h"

/* Make them in the theatre's scene. */
status scene_make(const theatre *t);

#endif
