#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/client_inner.h"

/* ---- from the coordinator ---- */

void files_on_blob(client *c, envelope **e)
{
    const Mendel__Blob *piece = (*e)->blob;
    c->proof = piece->proof;
    bool taken = need_take(&c->weights, piece, c->now_ms);
    for (int64_t i = 0; !taken && i < c->place->slots; i++) taken = need_take(&c->slots[i].resume, piece, c->now_ms);
}

static void ask_for(client *c, need *n)
{
    Mendel__BlobAck ack = MENDEL__BLOB_ACK__INIT;
    if (c->state != CLIENT_WELCOME || !need_wants(n, c->now_ms)) return;
    ack.hash = n->hash;
    ack.offset = n->offset;
    ack.proof = c->proof;
    bool sent = client_send(c, MENDEL__ENVELOPE__BODY_BLOB_ACK, &ack) == OK;
    n->ask_ms = c->now_ms + (sent ? client_retry_ms(c) : LEFT_UNSENT_MS);
}

void files_follow(client *c)
{
    ask_for(c, &c->weights);
    for (int64_t i = 0; i < c->place->slots; i++) ask_for(c, &c->slots[i].resume);
}

/* ---- to the coordinator ---- */

static ssize_t read_piece(const char *path, int64_t offset, uint8_t *piece, size_t count)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = file < 0 ? -1 : pread(file, piece, count, offset);
    if (n < 0) log_warning("cannot read %s: %s", path, strerror(errno));
    if (file >= 0) close(file);
    return n;
}

/* A piece of the file at `path`; of `bytes` 0, which says that it is not to be had, when that cannot be read. */
static status send_piece(client *c, const Mendel__BlobAck *ask, const char *path, int64_t bytes)
{
    Mendel__Blob blob = MENDEL__BLOB__INIT;
    int64_t left = bytes - ask->offset;
    size_t count = left < WIRE_PIECE_MOST ? (size_t)left : WIRE_PIECE_MOST;
    uint8_t *piece = malloc(count);
    if (!piece) return FAIL(ERR_MEMORY, "out of memory");
    ssize_t n = path ? read_piece(path, ask->offset, piece, count) : -1;
    blob.hash = ask->hash;
    if (n > 0) {
        blob.bytes = bytes;
        blob.offset = ask->offset;
        blob.data = (ProtobufCBinaryData){(size_t)n, piece};
    }
    status s = client_send(c, MENDEL__ENVELOPE__BODY_BLOB, &blob);
    free(piece);
    return s;
}

/* Only what lies in the spool for this run, and by its hash. What cannot be sent now is asked for again. */
void files_on_blob_ack(client *c, envelope **e)
{
    const Mendel__BlobAck *ask = (*e)->blob_ack;
    delivery *d = spool_find_file(c->spool, &c->ids.run, ask->hash);
    Mendel__Blob none = MENDEL__BLOB__INIT;
    int64_t bytes = 0;
    char *path = NULL;
    if (!d || !spool_file_of(c->spool, d, &bytes, &path)) {
        none.hash = ask->hash;
        client_send(c, MENDEL__ENVELOPE__BODY_BLOB, &none);
    } else if (ask->offset < bytes) {
        send_piece(c, ask, path, bytes);
        d->next_ms = c->now_ms + FILE_AGAIN_MS;
        report_heard(c);
    }
    free(path);
}
