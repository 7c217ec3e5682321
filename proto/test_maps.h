/* test_maps.h - maps made by hand, for the tests of this folder. Include after cmocka.h. */
#ifndef PROTO_TEST_MAPS_H
#define PROTO_TEST_MAPS_H

#include <string.h>

#include "proto/maps.h"

typedef struct maker {
    msgpack_sbuffer buffer;
    msgpack_packer p;
} maker;

/* Start a map of so many keys; msgpack_sbuffer_destroy ends it. */
static inline void begin(maker *m, size_t keys)
{
    msgpack_sbuffer_init(&m->buffer);
    msgpack_packer_init(&m->p, &m->buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&m->p, keys);
}

static inline void put_key(maker *m, const char *key)
{
    msgpack_pack_str(&m->p, strlen(key));
    msgpack_pack_str_body(&m->p, key, strlen(key));
}

/* The last failure says these words. */
static inline void expect_message(const char *words)
{
    if (!strstr(status_message(), words)) fail_msg("'%s' was expected in: %s", words, status_message());
}

#endif
