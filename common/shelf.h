/* shelf.h - memory that the processes of one user share on one machine.
 *
 * What one training has worked out, its decoded pictures, the next and those beside it need not work out again. A piece of memory
 * has a name that says what is in it; who makes it finds zeros, who comes later finds what others have put there. It lasts as long
 * as anybody holds the shelf: a worker does from its start to its end, a trainer while it trains. The last to let go clears it;
 * what killed ones have left, the next to let go.
 *
 * The pieces are files in /dev/shm/mendel-UID-shelf, or in /tmp where that has no room. The folder is the user's alone (0700, no
 * symbolic link).
 *
 *   lock          locked, shared, by those who hold the shelf
 *   NAME.piece    locked, shared, by those who use it */
#ifndef COMMON_SHELF_H
#define COMMON_SHELF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

typedef struct shelf shelf;

typedef struct shelf_piece { /* {0}: none */
    void *memory;
    size_t bytes;
    int descriptor; /* that holds the lock */
} shelf_piece;

/* `root` is where the folder is to be, NULL: the usual places. ERR_REFUSED: there is one that is not the user's alone; ERR_IO,
 * ERR_NO_SPACE. */
status shelf_hold(const char *root, shelf **out);
/* Set *s to NULL. Pieces that are in use stay mapped. */
void shelf_let_go(shelf **s);

/* A piece that is there, of exactly so many bytes. `name` is letters and digits. ERR_NOT_FOUND. */
status shelf_find(shelf *s, const char *name, size_t bytes, shelf_piece *out);
/* A new one, of zeros; its memory is taken at once. When another process was faster, it is that one's. Pieces that nobody has used
 * for ten minutes are removed. ERR_NO_SPACE, ERR_IO. */
status shelf_make(shelf *s, const char *name, size_t bytes, shelf_piece *out);
/* Unmap. Others may go on with it. */
void shelf_give_back(shelf_piece *p);

#endif
