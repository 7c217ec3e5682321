/* download.h - one file over HTTP.
 *
 * The file appears under its name only when all of it is there; what was begun and not finished is removed. */
#ifndef DATA_DOWNLOAD_H
#define DATA_DOWNLOAD_H

#include <stdint.h>

#include "common/status.h"

/* Fetch an http(s) URL, redirections followed, into `path`; a file that is there is replaced. A file of fewer than `least` bytes is
 * none (an error page). With a progress line. ERR_NOT_FOUND (404), ERR_STOPPED (by a signal), ERR_NO_SPACE, ERR_IO, ERR_FORMAT (too
 * small), ERR_ARGUMENT (no such URL); the sentence names the URL. */
status download_file(const char *url, const char *path, int64_t least);

#endif
