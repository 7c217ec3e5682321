/* tail.h - the last lines of what a trainer prints.
 *
 * Lines end with a newline or a carriage return (a progress bar's last state counts). A longer line than TAIL_LINE_MOST is cut,
 * bytes that are no printable text become '?', so a line can go into any message. */
#ifndef WORKER_TAIL_H
#define WORKER_TAIL_H

#include <stddef.h>

enum { TAIL_LINES = 100, TAIL_LINE_MOST = 500 };

typedef struct tail {
    char lines[TAIL_LINES][TAIL_LINE_MOST + 1]; /* a ring */
    size_t first, count;                        /* whole lines */
    size_t ended;                               /* whole lines so far, those that are gone included */
    char open[TAIL_LINE_MOST];                  /* the line that has not ended yet */
    size_t open_length;
} tail;

/* {0} is an empty tail. */
void tail_add(tail *t, const char *bytes, size_t count);
/* End the open line, if there is one. */
void tail_finish(tail *t);
/* Line i of t->count, oldest first. Borrowed until the next add. */
const char *tail_line(const tail *t, size_t i);

#endif
