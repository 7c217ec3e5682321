/* status.h - what a function that touches the outside world returns.
 *
 * A function that can fail returns a `status`. Where the failure happens, FAIL says once, in one sentence a user can
 * act on, what was wrong (file, line or key, what was expected, what was found); on the way up TRY only passes the
 * code on. The sentence is kept per thread, so that the place which decides (main, the trainer pipe, a test) can
 * print it or send it on. A bug in our own code is an assert, never a status. */
#ifndef COMMON_STATUS_H
#define COMMON_STATUS_H

#define STATUS_LIST(ROW)                                                                                               \
    ROW(OK, "ok")                                                                                                      \
    ROW(ERR_ARGUMENT, "invalid argument")                                                                              \
    ROW(ERR_MEMORY, "out of memory")                                                                                   \
    ROW(ERR_IO, "input or output error")                                                                               \
    ROW(ERR_NO_SPACE, "no space left on the disk")                                                                     \
    ROW(ERR_NOT_FOUND, "not found")                                                                                    \
    ROW(ERR_EXISTS, "exists already")                                                                                  \
    ROW(ERR_FORMAT, "malformed input")                                                                                 \
    ROW(ERR_RANGE, "out of range")                                                                                     \
    ROW(ERR_UNSUPPORTED, "not supported")                                                                              \
    ROW(ERR_REFUSED, "refused")                                                                                        \
    ROW(ERR_BUSY, "in use")                                                                                            \
    ROW(ERR_TIMEOUT, "timed out")                                                                                      \
    ROW(ERR_PROTOCOL, "protocol error")                                                                                \
    ROW(ERR_NOT_FINITE, "a value is not finite")                                                                       \
    ROW(ERR_DEVICE, "device error")                                                                                    \
    ROW(ERR_STOPPED, "stopped on request")                                                                             \
    ROW(ERR_END, "no more")

#define STATUS_AS_ID(id, text) id,
typedef enum status { STATUS_LIST(STATUS_AS_ID) STATUS_COUNT } status;

/* The general meaning of a code, for logs; never NULL. */
const char *status_text(status code);

/* Record the sentence for this thread and return `code`. Use the FAIL macro. The sentence is logged at debug level
 * with its place in the source; main prints it to the user once. */
status status_fail(const char *file, int line, status code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The sentence of the last FAIL in this thread, "" if there was none. Borrowed; valid until the next FAIL. */
const char *status_message(void);

/* Put `what` and a colon in front of the last sentence of this thread, for callers that know the context (which file,
 * which candidate) and want it said. Returns `code`, so it can end a function. */
status status_context(status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define FAIL(code, ...) status_fail(__FILE__, __LINE__, (code), __VA_ARGS__)

/* Return from the calling function when the expression is not OK. Only where nothing is held yet; otherwise keep the
 * status and leave by one exit that frees. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        status try_status_ = (expression);                                                                             \
        if (try_status_ != OK) return try_status_;                                                                     \
    } while (0)

#endif
