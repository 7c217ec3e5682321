/* infer_place.h - where the feature maps of one image lie in inference, and which operations vanish.
 *
 * A convolution whose output nothing but a point operation reads does that operation's norm and activation itself and writes
 * where the point would have. Members of a concat are written into the concat's memory, which for one image is in one piece. */
#ifndef CPU_INFER_PLACE_H
#define CPU_INFER_PLACE_H

#include "worker/backend/cpu/fuse.h"
#include "worker/backend/cpu/memory.h"

/* Where one image's map lies in a thread's arena. */
typedef struct spot {
    int item, first; /* -1: nowhere; block at which it begins */
    bool fp32;       /* in a bf16 plan: a head */
} spot;

typedef struct infer_places {
    const network *n; /* borrowed */
    bool bf16;
    spot *spots;     /* one a map */
    bool *folded;    /* one an operation: a point whose norm and activation are done by its convolutions */
    int *folds_into; /* one an operation: of a convolution the point it takes over; -1 */
    memory memory;   /* of one thread, laid out but not taken */
    int64_t arena_bytes;
} infer_places;

/* ERR_MEMORY. Free with infer_places_free, also after an error. */
status infer_places_create(const network *n, bool bf16, infer_places *out);
void infer_places_free(infer_places *p);

/* Bytes of one block of a map, and where the map begins in the arena. */
int64_t infer_panel(const infer_places *p, int map_index);
int64_t infer_offset(const infer_places *p, int map_index);
/* Does the map outlive its image: a head, an output, or the caller's own? */
bool infer_is_kept(const infer_places *p, int map_index);

#endif
