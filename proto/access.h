/* access.h - the file that lets a worker in: where a coordinator is, whom to expect there, and the worker's own keys.
 *
 *   mendel-access 1                the first line; 1 is the version of this format
 *   # ...                          such lines and empty ones say nothing
 *   address tcp://10.0.0.7:5557    one or more, tried in this order
 *   server  KEY                    public key of the coordinator
 *   worker  default                name of the worker's key
 *   public  KEY                    the worker's pair
 *   secret  KEY
 *
 * A KEY is 32 bytes as 40 characters of Z85 (rfc.zeromq.org/spec/32). Keys are CURVE's, but nothing here computes with them.
 *
 * Whoever reads such a file works for the run in its owner's name. So it is believed only when it is a file of the user who reads it
 * and nobody else may read it (mode 0600), and what is read of it is wiped from memory when it is not needed any more. Its secret is in
 * no message, whatever is wrong with it. */
#ifndef PROTO_ACCESS_H
#define PROTO_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/fs.h"
#include "common/status.h"
#include "common/text.h"

enum {
    ACCESS_KEY_ROOM = 41,       /* a key and its terminator */
    ACCESS_NAME_MOST = 64,      /* letters of a name */
    ACCESS_ADDRESS_MOST = 255,  /* letters of an address */
    ACCESS_ADDRESSES_MOST = 64, /* in a file */
    ACCESS_BYTES_MOST = 32768,  /* of a file */
};

typedef struct access_file {
    fs_names addresses; /* "tcp://HOST:PORT" */
    char server[ACCESS_KEY_ROOM];
    char worker[ACCESS_NAME_MOST + 1];
    char public_key[ACCESS_KEY_ROOM], secret_key[ACCESS_KEY_ROOM];
} access_file;

/* Read a file. ERR_NOT_FOUND, ERR_IO; ERR_REFUSED: not a file, another user's, or open to others; ERR_FORMAT naming file and line;
 * ERR_RANGE: longer than ACCESS_BYTES_MOST. The caller frees *out with access_free. */
status access_read(const char *path, access_file *out);
/* The same from text, which goes by `name` in messages. */
status access_parse(const char *name, const char *text, access_file *out);
/* Replace a file atomically, mode 0600. */
status access_write(const char *path, const access_file *a);
/* Wipes and frees; back to {0}. */
void access_free(access_file *a);

/* ---- the parts ---- */

/* 40 characters of Z85 that stand for 32 bytes? */
bool access_is_key(const char *text);
/* 1 to ACCESS_NAME_MOST letters, digits, dots, dashes and underscores, the first no dot or dash? A name may become part of a path. */
bool access_is_name(const char *text);
/* OK for tcp://HOST:PORT: a host name or an address (IPv6 in brackets), a port from 1 to 65535. ERR_FORMAT with words. */
status access_check_address(const char *address);

/* ---- secrets ---- */

/* The whole of a file that is the user's alone (see access_read), as a string. The caller ends with access_wipe_text. */
status access_read_private(const char *path, size_t limit, char **text);
void access_wipe(void *memory, size_t count);
/* Wipe a string and free it; *text becomes NULL. */
void access_wipe_text(char **text);
/* Wipe and free a text that had secrets in it. */
void access_wipe_growing(text *t);
/* From now on this process leaves no core file and cannot be looked into by other processes of its user. Programs that it starts
 * can. (Not under sanitizers, which look into themselves.) */
void access_guard_process(void);

#endif
