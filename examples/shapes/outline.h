/* outline.h - what lies inside a shape: signed distances, boxes, areas. */
#ifndef EXAMPLES_SHAPES_OUTLINE_H
#define EXAMPLES_SHAPES_OUTLINE_H

typedef enum outline_kind { OUTLINE_DISC, OUTLINE_SQUARE, OUTLINE_TRIANGLE, OUTLINE_STROKE, OUTLINE_ARC } outline_kind;

/* A shape in pixels; x to the right, y down, pixel (0, 0) from 0 to 1. */
typedef struct outline {
    outline_kind kind;
    double x, y;         /* centre */
    double half, across; /* half lengths along and across its axis; an arc's radius and half width */
    double cosine, sine; /* direction of its axis */
} outline;

typedef struct rectangle {
    double left, top, right, bottom;
} rectangle;

/* A shape of this diameter; `aspect` is width over length, `turn` its direction as a part of a full circle. */
outline outline_make(outline_kind kind, double x, double y, double diameter, double aspect, double turn);
/* Distance of a point to the border, negative inside (exact but for discs that are not round). */
double outline_distance(const outline *o, double x, double y);
/* The smallest box around it. Strokes and arcs have a box that is large enough. */
rectangle outline_box(const outline *o);
/* In pixels. Of discs, squares and triangles only. */
double outline_area(const outline *o);

#endif
