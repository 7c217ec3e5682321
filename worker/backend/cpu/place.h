/* place.h - where every feature map and gradient of a training step lies, and for how long.
 *
 * A step runs the operations forward at moments 0..F-1 and backward at F..2F-1. What lives when follows from that: a
 * convolution's input until its weight gradient, its output until the backward pass of the point operation behind it, which
 * writes the gradient over it. Members of a concat lie in the concat's memory; a convolution, which wants its input in one
 * piece, gets a copy besides, written by the same pass. Gradients of a map that several operations read are added up by the
 * operation that made it, while it reads them. */
#ifndef CPU_PLACE_H
#define CPU_PLACE_H

#include "worker/backend/cpu/fuse.h"
#include "worker/backend/cpu/kernels.h"
#include "worker/backend/cpu/memory.h"
#include "worker/backend/cpu/norm.h"

/* Part of a memory item: `blocks` blocks of channels an image, of which this map's begin at `first`. */
typedef struct place {
    int item; /* -1: nowhere */
    int first, blocks;
    bool fp32; /* in a bf16 plan: a head */
} place;

typedef struct map_places {
    place value;                /* where readers find it */
    place extra[POINT_OUTPUTS]; /* further places that its maker writes */
    int extras;
    place gradient[POINT_GRADIENTS]; /* what readers leave; their sum is the gradient */
    struct {
        int op, slot; /* the reader, and which of its inputs; -1: the one it adds, or the caller */
    } left_by[POINT_GRADIENTS];
    int gradients;
    place narrow; /* bf16 twin of a head's gradient, which the loss writes in fp32 */
} map_places;

typedef struct places {
    const network *n; /* borrowed */
    bool bf16;
    map_places *maps; /* one a map */
    place *conv_out;  /* one an operation: a convolution's whole output */
    memory memory;
    int end; /* moment after the last */
} places;

/* ERR_UNSUPPORTED, ERR_MEMORY. Takes the arena, from `lender` (may be NULL) if that will do. Free with places_free, also after an error. */
status places_create(const network *n, bool bf16, const memory *lender, places *out);
void places_free(places *p);

/* Bytes a vector of a place's type, and the view of a map that lies there. */
int64_t place_panel(const places *p, const place *at, const map *m);
view place_view(const places *p, const place *at, const map *m);
/* Address of the first image; only for places that hold nothing but the map (what oneDNN reads and writes). */
void *place_address(const places *p, const place *at);

/* The gradient that input `slot` of operation `op` leaves for a map; NULL if the map wants none. */
const place *place_left(const places *p, int map_index, int op, int slot);

/* Does nothing but a loss, a decode or the caller read this map? It is fp32 in every plan. */
bool map_is_head(const network *n, int index);

#endif
