/* kmeans.h - k-means of points in the plane.
 *
 * Source: scipy.cluster.vq.kmeans(), which the reference finds anchors with. Mended: a centre that loses all of its points stays
 * where it is (there it is dropped, and fewer centres come back than were asked for). */
#ifndef DATA_KMEANS_H
#define DATA_KMEANS_H

#include <stddef.h>

#include "worker/data/draw.h"

typedef struct point {
    double x, y;
} point;

/* The k centres (1 <= k <= count) with the least mean distance of a point to the nearest one, of 30 attempts: each starts from
 * different points chosen by draw_some and moves the centres until that mean changes by no more than 1e-5. Points are expected
 * with a spread of about 1 each way. *distance is that mean. ERR_MEMORY. */
status kmeans(draw *d, const point *points, size_t count, size_t k, point *centres, double *distance);

#endif
