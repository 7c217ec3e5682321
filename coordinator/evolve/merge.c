#include "coordinator/evolve/merge.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/fs.h"
#include "coordinator/evolve/file_rows.h"

enum { FILE_BYTES_MOST = 1 << 28, TABLE_LEAST = 1024 };

struct merge {
    uint64_t *table; /* hashes of lines, 0: free; a power of two of them, at most half of it in use */
    size_t size, count;
    size_t members; /* of the own population, that are in it */
};

status merge_create(merge **out)
{
    return array_new(out, 1);
}

void merge_forget(merge *m)
{
    free(m->table);
    *m = (merge){0};
}

void merge_destroy(merge **m)
{
    if (!*m) return;
    merge_forget(*m);
    free(*m);
    *m = NULL;
}

/* ---- the lines that were seen ---- */

static size_t place_of(const merge *m, uint64_t hash)
{
    size_t at = hash & (m->size - 1);
    while (m->table[at] && m->table[at] != hash) at = (at + 1) & (m->size - 1);
    return at;
}

static status grow(merge *m)
{
    merge larger = {.size = m->size ? 2 * m->size : TABLE_LEAST, .count = m->count, .members = m->members};
    if (2 * (m->count + 1) <= m->size) return OK;
    TRY(array_new(&larger.table, larger.size));
    for (size_t i = 0; i < m->size; i++)
        if (m->table[i]) larger.table[place_of(&larger, m->table[i])] = m->table[i];
    free(m->table);
    *m = larger;
    return OK;
}

/* *fresh: it was not seen before. */
static status see(merge *m, uint64_t hash, bool *fresh)
{
    TRY(grow(m));
    size_t at = place_of(m, hash);
    *fresh = !m->table[at];
    m->count += *fresh;
    m->table[at] = hash;
    return OK;
}

/* Of a line's words, white space between them and a comment left out. 0: there is none. */
static uint64_t hash_of(const char *line, size_t length)
{
    uint64_t hash = 0;
    for (const char *at = line, *end = line + length; at < end && *at != '#';) {
        const char *word = at;
        while (at < end && !strchr(" \t\r\v\f#", *at)) at++;
        if (at > word) hash = XXH64(word, (size_t)(at - word), hash + 1);
        else at++;
    }
    return hash;
}

static status see_own(merge *m, const population *own)
{
    bool fresh;
    if (own->count < m->members) merge_forget(m);
    for (; m->members < own->count; m->members++) {
        char *line;
        TRY(file_row_line(own, m->members, &line));
        status s = see(m, hash_of(line, strcspn(line, "\n")), &fresh);
        free(line);
        if (s != OK) return s;
    }
    return OK;
}

/* ---- the file ---- */

/* Lines that were seen become blank, so that the others keep their numbers. */
static status blank_known(merge *m, char *bytes, size_t count)
{
    for (char *line = bytes, *end = bytes + count; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((stop ? stop : end) - line);
        uint64_t hash = hash_of(line, length);
        bool fresh = false;
        if (hash) TRY(see(m, hash, &fresh));
        if (hash && !fresh) memset(line, ' ', length);
        line += length + 1;
    }
    return OK;
}

status merge_read(merge *m, const population *own, const char *path, population *fresh)
{
    char *bytes;
    size_t count;
    TRY(see_own(m, own));
    TRY(fs_read(path, FILE_BYTES_MOST, &bytes, &count));
    status s = blank_known(m, bytes, count);
    if (s == OK) s = population_import_text(fresh, path, bytes, count);
    free(bytes);
    if (s != OK) merge_forget(m);
    return s;
}
