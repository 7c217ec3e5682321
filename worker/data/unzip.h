/* unzip.h - what is in a zip archive, into a folder and nowhere else.
 *
 * Names that are absolute or climb with "..", links and devices are refused before anything is written. The files come into a folder of their
 * own first and then to their places, so an archive that cannot be unpacked to its end leaves nothing. */
#ifndef DATA_UNZIP_H
#define DATA_UNZIP_H

#include "common/status.h"

/* Unpack into the folder `target`, which is made when missing; files of the same names are replaced. With a progress line.
 * ERR_FORMAT names the entry that is refused; ERR_NO_SPACE, ERR_IO. */
status unzip(const char *archive, const char *target);

/* The folder that all entries lie in; "" when there is no one. The caller frees *top. ERR_FORMAT when it is no archive. */
status unzip_top(const char *archive, char **top);

#endif
