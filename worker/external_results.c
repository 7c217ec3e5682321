#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "worker/external_inner.h"

enum { FILE_MOST = 1 << 24, WORDS_SHOWN = 80 };

static bool parts(char c)
{
    return strchr(" \t\r\n\v\f,", c) != NULL;
}

/* ---- a line ---- */

/* The number of a line's word, given its end: *at goes to where the word begins. */
static bool read_back(const char *line, const char **at, double *value)
{
    const char *end = *at;
    while (end > line && parts(end[-1])) end--;
    const char *begin = end;
    while (begin > line && !parts(begin[-1])) begin--;
    *at = begin;
    char *word = end > begin ? text_copy_bytes(begin, (size_t)(end - begin)) : NULL;
    bool fine = word && text_to_double(word, value);
    free(word);
    return fine;
}

static size_t count_words(const char *line)
{
    size_t count = 0;
    for (const char *c = line; *c; c++) count += !parts(*c) && (c == line || parts(c[-1]));
    return count;
}

bool external_results_line(const char *line, double results[RESULT_COUNT])
{
    const char *at = line + strlen(line);
    size_t words = count_words(line);
    if (words == 1) {
        double fitness;
        if (!read_back(line, &at, &fitness)) return false;
        for (int i = 0; i < RESULT_COUNT; i++) results[i] = i < FITNESS_TERMS ? fitness : 0;
        return true;
    }
    if (words < RESULT_COUNT) return false;
    for (int i = RESULT_COUNT - 1; i >= 0; i--)
        if (!read_back(line, &at, &results[i])) return false;
    return true;
}

/* ---- a file ---- */

void external_results_free(external_results *r)
{
    free(r->words);
    *r = (external_results){0};
}

static status keep_words(external_results *r, const char *line)
{
    size_t length = strlen(line);
    free(r->words);
    r->words = text_copy_bytes(line, length < WORDS_SHOWN ? length : WORDS_SHOWN);
    if (!r->words) return FAIL(ERR_MEMORY, "out of memory");
    text_clean(r->words, false);
    return OK;
}

status external_results_read(const char *path, bool finished, int64_t from,
                             void (*each)(void *state, int64_t line, const double *results), void *state,
                             external_results *out)
{
    char *bytes;
    size_t count;
    *out = (external_results){0};
    if (!fs_exists(path)) return OK;
    TRY(fs_read(path, FILE_MOST, &bytes, &count));
    status s = OK;
    for (char *line = bytes, *end; s == OK && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (!*end && !finished) break; /* it is still being written */
        if (*end) *end++ = '\0';
        if (!count_words(line)) continue;
        out->readable = external_results_line(line, out->last);
        if (each && out->readable && out->lines >= from) each(state, out->lines, out->last);
        out->lines++;
        s = keep_words(out, line);
    }
    free(bytes);
    return s;
}

status external_results_check(const external_results *r, const char *path, trainer_reason *reason)
{
    *reason = REASON_ERROR;
    if (!r->lines) return FAIL(ERR_NOT_FOUND, "the trainer ended with exit code 0, but wrote no results into %s", path);
    if (!r->readable)
        return FAIL(ERR_FORMAT,
                    "%s: seven numbers (P R mAP@.5 mAP@.5:.95 box obj cls) or one were expected in the last "
                    "line, found '%s'",
                    path, r->words);
    for (int i = 0; i < RESULT_COUNT; i++) {
        bool fraction = i < FITNESS_TERMS;
        if (isnan(r->last[i]) && fraction) {
            *reason = REASON_NAN;
            return FAIL(ERR_NOT_FINITE, "the results are not finite: '%s'", r->words);
        }
        if ((fraction && !(r->last[i] >= 0 && r->last[i] <= 1)) || r->last[i] < 0 || isinf(r->last[i]))
            return FAIL(ERR_RANGE, "%s: P, R and mAP are numbers from 0 to 1 and losses from 0, found '%s'", path,
                        r->words);
    }
    return OK;
}
