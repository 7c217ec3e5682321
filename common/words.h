/* words.h - a command line split into its words, without a shell.
 *
 * Words stand between white space. Inside '...' everything is itself; inside "..." a backslash makes the next " or \ itself; outside
 * quotes it makes any next letter itself. Quoted and plain parts that touch are one word, "" is an empty one. Nothing else is
 * special: no variables, no patterns, no pipes, no ~. */
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include "common/fs.h"
#include "common/status.h"

/* Split into *out, in order. ERR_ARGUMENT for a quote that does not end, a backslash at the end, or a line without a word; then
 * *out is empty. The caller frees *out with fs_names_free. */
status words_split(const char *line, fs_names *out);

/* Where a program is that is called as `name`: as it is when there is a slash in it, else in the folders of PATH. ERR_NOT_FOUND, or
 * ERR_REFUSED when it is no program that may be run. The caller frees *path. */
status words_find_program(const char *name, char **path);

/* Can this line be started? The errors of the two above. */
status words_check(const char *line);

#endif
