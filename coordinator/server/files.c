/* files.c - files that workers need: the run's weights, and checkpoints to go on from. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/server/blobs.h"
#include "coordinator/server/inner.h"

/* Of a file at a time: to one that has shown to have read the piece before, to others. */
enum { BLOB_BYTES = WIRE_PIECE_MOST, BLOB_FIRST_BYTES = 1 << 16 };

static status say(server *s, const session *to, envelope_kind kind, void *body)
{
    return server_reply(s, &to->to, &to->id, kind, body);
}

/* ---- checkpoints ---- */

bool server_has_checkpoint(const server *s, const store_candidate *c)
{
    char *path = c->checkpoint_hash ? blobs_checkpoint_path(s->run->folder, c->number, c->checkpoint_hash) : NULL;
    bool has = path && fs_is_file(path);
    free(path);
    return has;
}

status server_name_checkpoint(server *s, const session *to, const store_candidate *c, Mendel__Candidate *m, char **path)
{
    *path = NULL;
    if (!c->checkpoint_hash) return OK;
    bool here = server_has_checkpoint(s, c);
    if (here && to->local) {
        *path = blobs_checkpoint_path(s->run->folder, c->number, c->checkpoint_hash);
        if (!*path) return FAIL(ERR_MEMORY, "out of memory");
    }
    const char *there = c->checkpoint_path ? c->checkpoint_path : "";
    if (!here && !*there) return OK;
    m->resume_path = *path ? *path : (char *)there;
    m->resume_hash = c->checkpoint_hash;
    m->resume_epoch = c->epoch;
    m->resume_step = c->checkpoint_step;
    return OK;
}

/* ---- pieces ---- */

static status read_piece(const char *path, int64_t offset, uint8_t *piece, size_t most, size_t *count)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    ssize_t n = pread(file, piece, most, offset);
    close(file);
    if (n < 0) return FAIL(ERR_IO, "cannot read %s: %s", path, strerror(errno));
    *count = (size_t)n;
    return OK;
}

/* How much of a file this session gets now. What was sent and is not read takes memory here. */
static size_t piece_size(server *s, const session *from, const Mendel__BlobAck *b)
{
    if (from->proof && b->proof == from->proof) return BLOB_BYTES;
    return limits_take(s->limits, LIMIT_PIECES, NULL, 0, 1, s->now_ms) == LIMIT_FINE ? BLOB_FIRST_BYTES : 0;
}

static status make_proof(session *to)
{
    if (getrandom(&to->proof, sizeof to->proof, 0) != sizeof to->proof)
        return FAIL(ERR_IO, "no random numbers: %s", strerror(errno));
    to->proof |= 1; /* never 0 */
    return OK;
}

/* The checkpoint of a candidate that this session has been given: its path, which the caller frees; NULL: none has this hash. */
static char *find_checkpoint(const server *s, const session *from, const char *hash)
{
    for (int64_t i = 0; i < from->slots; i++) {
        const store_candidate *c = ledger_candidate(s->run->ledger, from->running[i].token.candidate);
        if (c && c->checkpoint_hash && !strcmp(c->checkpoint_hash, hash))
            return blobs_checkpoint_path(s->run->folder, c->number, hash);
    }
    return NULL;
}

static status send_piece(server *s, session *to, const Mendel__BlobAck *b, const char *path, int64_t bytes)
{
    Mendel__Blob blob = MENDEL__BLOB__INIT;
    size_t count = 0;
    if (b->offset >= bytes) return OK;
    size_t most = piece_size(s, to, b);
    if (!most) return OK; /* it asks again */
    TRY(make_proof(to));
    uint8_t *piece = malloc(most);
    if (!piece) return FAIL(ERR_MEMORY, "out of memory");
    status result = read_piece(path, b->offset, piece, most, &count);
    if (result != OK) log_warning("%s", status_message());
    blob.hash = b->hash;
    blob.bytes = bytes;
    blob.offset = b->offset;
    blob.proof = to->proof;
    blob.data = (ProtobufCBinaryData){count, piece};
    result = result == OK && count ? say(s, to, MENDEL__ENVELOPE__BODY_BLOB, &blob) : OK;
    free(piece);
    return result;
}

static status say_missing(server *s, const session *to, const Mendel__BlobAck *b)
{
    Mendel__Blob none = MENDEL__BLOB__INIT;
    none.hash = b->hash;
    return say(s, to, MENDEL__ENVELOPE__BODY_BLOB, &none);
}

/* The run's weights, and the checkpoint of what it was given, are the only files that a worker may ask for. */
status server_blob_wanted(server *s, session *from, const Mendel__BlobAck *b)
{
    const run_spec *spec = &s->run->spec;
    struct stat about;
    if (b->offset < 0 || !*b->hash) return OK;
    if (*spec->weights_hash && !strcmp(b->hash, spec->weights_hash))
        return send_piece(s, from, b, spec->weights_path, spec->weights_bytes);
    char *path = find_checkpoint(s, from, b->hash);
    bool here = path && !stat(path, &about) && S_ISREG(about.st_mode);
    status result = !path ? OK : here ? send_piece(s, from, b, path, about.st_size) : say_missing(s, from, b);
    free(path);
    return result;
}
