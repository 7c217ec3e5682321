/* scene.c - a background, clutter, objects one over the other, more clutter; then what of it can still be seen gets a label.
 *
 * Clutter is drawn from the same colours as the objects, so that neither colour nor edges alone give an object away: strokes,
 * arcs and stains, none of them closed, round, square or three-cornered. */
#include "examples/shapes/scene.h"

#include <math.h>

#include "examples/shapes/background.h"
#include "examples/shapes/difficulty.h"
#include "examples/shapes/paint.h"

const char *const scene_class_names[SCENE_CLASSES] = {"disc", "square", "triangle"};
static const outline_kind class_outlines[SCENE_CLASSES] = {OUTLINE_DISC, OUTLINE_SQUARE, OUTLINE_TRIANGLE};

_Static_assert((int)OBJECTS_MOST <= (int)SCENE_LABELS_MOST && (int)OBJECTS_MOST < (int)CANVAS_NOBODY,
               "every object has room for its label");

typedef struct object {
    int class_index;
    outline outline;
} object;

/* ---- materials ---- */

static colour object_colour(keyed_rng *r, int class_index)
{
    double hue = (double)class_index / SCENE_CLASSES + hue_spread * keyed_normal(r);
    return draw_colour(r, hue, (colour_range){0.35, 0.95, 0.3, 0.95});
}

/* Make a colour lighter or darker, whichever is nearer, until it stands out from what is below. */
static colour stand_out(colour own, double below)
{
    double light = colour_light(own), difference = light - below;
    if (fabs(difference) >= contrast_least) return own;
    bool lighter = below + contrast_least <= 0.95 && (difference >= 0 || below - contrast_least < 0.1);
    double wanted = lighter ? below + contrast_least : below - contrast_least;
    if (wanted <= light) return colour_scale(own, fmax(wanted, 0.02) / light);
    return colour_mix(own, (colour){1, 1, 1}, (wanted - light) / (1 - light));
}

static material object_material(keyed_rng *r, int class_index, double below)
{
    material m = {.base = stand_out(object_colour(r, class_index), below), .opacity = 1};
    m.seed = keyed_next(r);
    m.mottle = draw_between(r, 0, 0.25);
    bool striped = keyed_random(r) < 0.2;
    m.stripes = striped ? draw_between(r, 0.1, 0.3) : 0;
    m.roundness = draw_between(r, 0, 0.3);
    m.rim = draw_between(r, 0, 0.4);
    return m;
}

/* ---- clutter ---- */

static material clutter_material(keyed_rng *r)
{
    int class_index = (int)keyed_below(r, SCENE_CLASSES);
    material m = {.base = object_colour(r, class_index), .mottle = 0.15, .opacity = 1};
    m.seed = keyed_next(r);
    return m;
}

/* A shape of this length and width (pixels) anywhere in the picture. */
static outline anywhere(const canvas *c, keyed_rng *r, outline_kind kind, double length, double width)
{
    double x = c->width * keyed_random(r), y = c->height * keyed_random(r);
    return outline_make(kind, x, y, length, width / length, keyed_random(r));
}

static void add_stroke(canvas *c, keyed_rng *r, const lamp *light)
{
    double length = c->height * draw_between(r, 0.15, 0.8), width = c->height * draw_between(r, 0.01, 0.035);
    outline o = anywhere(c, r, OUTLINE_STROKE, length, width);
    material m = clutter_material(r);
    paint_shape(c, &o, &m, light, CANVAS_NOBODY);
}

static void add_arc(canvas *c, keyed_rng *r, const lamp *light)
{
    double diameter = c->height * draw_between(r, 0.15, 0.5), width = c->height * draw_between(r, 0.01, 0.03);
    outline o = anywhere(c, r, OUTLINE_ARC, diameter, width);
    material m = clutter_material(r);
    paint_shape(c, &o, &m, light, CANVAS_NOBODY);
}

/* Two strokes at right angles. */
static void add_cross(canvas *c, keyed_rng *r, const lamp *light)
{
    double length = c->height * draw_between(r, 0.1, 0.3), width = length * draw_between(r, 0.08, 0.2);
    outline first = anywhere(c, r, OUTLINE_STROKE, length, width), second = first;
    second.cosine = -first.sine;
    second.sine = first.cosine;
    material m = clutter_material(r);
    paint_shape(c, &first, &m, light, CANVAS_NOBODY);
    paint_shape(c, &second, &m, light, CANVAS_NOBODY);
}

/* A few faint spots on one another. */
static void add_stain(canvas *c, keyed_rng *r, const lamp *light)
{
    double size = c->height * draw_between(r, 0.06, 0.2);
    outline middle = anywhere(c, r, OUTLINE_STROKE, size, size / 2);
    double hue = keyed_random(r);
    material m = {.base = draw_colour(r, hue, (colour_range){0.2, 0.4, 0.1, 0.9}), .mottle = 0.4};
    m.seed = keyed_next(r);
    m.opacity = draw_between(r, 0.1, 0.25);
    for (int i = 0; i < 6; i++) {
        outline o = middle;
        o.x += size * draw_between(r, -1, 1);
        o.y += size * draw_between(r, -1, 1);
        o.half *= draw_between(r, 0.3, 1.2);
        paint_shape(c, &o, &m, light, CANVAS_NOBODY);
    }
}

static void add_clutter(canvas *c, keyed_rng *r, const lamp *light, int most)
{
    static void (*const kinds[])(canvas * c, keyed_rng * r, const lamp *light) = {add_stroke, add_arc, add_cross,
                                                                                  add_stain};
    for (int n = draw_whole(r, 0, most); n > 0; n--) kinds[keyed_below(r, sizeof kinds / sizeof *kinds)](c, r, light);
}

/* ---- objects ---- */

static double overlap(rectangle a, rectangle b)
{
    double width = fmin(a.right, b.right) - fmax(a.left, b.left),
           height = fmin(a.bottom, b.bottom) - fmax(a.top, b.top);
    return width > 0 && height > 0 ? width * height : 0;
}

static double box_area(rectangle box)
{
    return (box.right - box.left) * (box.bottom - box.top);
}

/* May a shape be laid here? Not where it would hide much of another (by their boxes), nor mostly outside. */
static bool fits(const canvas *c, const object *others, int count, const outline *o)
{
    rectangle box = outline_box(o), picture = {0, 0, c->width, c->height};
    if (overlap(box, picture) < (1 - outside_most) * box_area(box)) return false;
    for (int i = 0; i < count; i++) {
        rectangle other = outline_box(&others[i].outline);
        if (overlap(box, other) > hidden_most * fmin(box_area(box), box_area(other))) return false;
    }
    return true;
}

/* Find a place for one more object; false when there seems to be none. */
static bool place(const canvas *c, keyed_rng *r, object *objects, int count)
{
    enum { TRIES = 20 };
    object *o = &objects[count];
    o->class_index = (int)keyed_below(r, SCENE_CLASSES);
    for (int n = 0; n < TRIES; n++) {
        double diameter = c->height * size_least * pow(size_most / size_least, keyed_random(r));
        double x = c->width * keyed_random(r), y = c->height * keyed_random(r);
        double aspect = draw_between(r, aspect_least, 1);
        o->outline = outline_make(class_outlines[o->class_index], x, y, diameter, aspect, keyed_random(r));
        if (fits(c, objects, count, &o->outline)) return true;
    }
    return false;
}

static int add_objects(canvas *c, keyed_rng *r, const lamp *light, object *objects)
{
    int wanted = keyed_random(r) < empty_share ? 0 : draw_whole(r, OBJECTS_LEAST, OBJECTS_MOST), count = 0;
    while (count < wanted && place(c, r, objects, count)) {
        const object *o = &objects[count];
        material m = object_material(r, o->class_index, paint_light_below(c, &o->outline));
        paint_shadow(c, &o->outline, light);
        paint_shape(c, &o->outline, &m, light, (uint8_t)count++);
    }
    return count;
}

/* ---- labels ---- */

static void add_labels(scene *s, const object *objects, int count)
{
    const canvas *c = &s->canvas;
    for (int i = 0; i < count; i++) {
        double seen = paint_count_owned(c, (uint8_t)i) / outline_area(&objects[i].outline);
        if (seen < visible_least) continue;
        rectangle box = outline_box(&objects[i].outline);
        box = (rectangle){fmax(box.left, 0), fmax(box.top, 0), fmin(box.right, c->width), fmin(box.bottom, c->height)};
        s->labels[s->count++] = (scene_label){objects[i].class_index, box};
    }
}

status scene_create(scene *s, int width, int height, keyed_rng *r)
{
    *s = (scene){0};
    TRY(canvas_create(&s->canvas, width, height));
    object objects[OBJECTS_MOST];
    double turn = 6.283185307179586 * keyed_random(r);
    lamp light = {cos(turn), sin(turn), height * draw_between(r, 0.015, 0.05)};
    background_paint(&s->canvas, r);
    add_clutter(&s->canvas, r, &light, CLUTTER_BEHIND_MOST);
    int count = add_objects(&s->canvas, r, &light, objects);
    add_clutter(&s->canvas, r, &light, CLUTTER_BEFORE_MOST);
    add_labels(s, objects, count);
    return OK;
}

void scene_free(scene *s)
{
    canvas_free(&s->canvas);
}
