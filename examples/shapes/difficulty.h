/* difficulty.h - how hard the pictures are: the numbers to turn.
 *
 * Lengths are parts of the picture's height, amounts of light are parts of full white, hues are parts of the colour circle. With
 * the numbers below a nano model learns the task in minutes on a CPU, but not at once, and worse with bad hyperparameters. */
#ifndef EXAMPLES_SHAPES_DIFFICULTY_H
#define EXAMPLES_SHAPES_DIFFICULTY_H

/* Objects a picture, and their diameters. */
enum { OBJECTS_LEAST = 1, OBJECTS_MOST = 5 };
static const double size_least = 0.24, size_most = 0.55;
/* Pictures without any object. */
static const double empty_share = 0.04;

/* Spread of a class's colour around its own hue: 0 gives classes away by colour alone, .3 and more makes colour say nothing. */
static const double hue_spread = 0.12;
/* The least difference in light between an object and what it lies on. */
static const double contrast_least = 0.22;
/* Width over length of squares, discs and triangles goes from this to 1. */
static const double aspect_least = 0.8;

/* Clutter behind the objects, and in front of them. */
enum { CLUTTER_BEHIND_MOST = 6, CLUTTER_BEFORE_MOST = 2 };
/* How much of an object others may hide when they are placed; an object of which less than visible_least is seen in the end has
 * no label. */
static const double hidden_most = 0.4, visible_least = 0.35;
/* How much of an object may lie outside of the picture. */
static const double outside_most = 0.3;

/* Light: exposure is 1 +/- this, and it falls off from one side to the other by as much. */
static const double exposure_spread = 0.25, falloff_most = 0.35;
/* Standard deviation of the sensor's noise, and weight of a pixel's neighbours in its blur. */
static const double sensor_noise_most = 0.035, blur_most = 0.25;
/* JPEG quality. */
enum { QUALITY_LEAST = 60, QUALITY_MOST = 95 };

#endif
