/* test_events.h - an event file read back, for tests: with checksums computed another way than the writer's. */
#ifndef TRAIN_TEST_EVENTS_H
#define TRAIN_TEST_EVENTS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"
#include "proto/event.pb-c.h"

typedef struct event_list {
    Events__Event **items;
    size_t count, room;
} event_list;

static inline uint64_t test_events_number(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* Bit by bit, with the polynomial as it is written. */
static inline uint32_t test_events_checksum(const uint8_t *bytes, size_t count)
{
    uint32_t crc = 0xffffffff, turned = 0;
    for (size_t i = 0; i < count; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t carry = crc >> 31 ^ (bytes[i] >> bit & 1);
            crc = crc << 1 ^ (carry ? 0x1edc6f41 : 0);
        }
    for (int bit = 0; bit < 32; bit++) turned |= (crc >> bit & 1) << (31 - bit);
    turned = ~turned;
    return (turned >> 15 | turned << 17) + 0xa282ead8;
}

static inline status test_events_record(const char *path, const uint8_t *bytes, size_t left, event_list *out,
                                        size_t *used)
{
    if (left < 16) return FAIL(ERR_FORMAT, "%s: half a record", path);
    uint64_t length = test_events_number(bytes, 8);
    if (test_events_checksum(bytes, 8) != test_events_number(bytes + 8, 4))
        return FAIL(ERR_FORMAT, "%s: a wrong checksum of a length", path);
    if (length > left - 16) return FAIL(ERR_FORMAT, "%s: half a message", path);
    if (test_events_checksum(bytes + 12, length) != test_events_number(bytes + 12 + length, 4))
        return FAIL(ERR_FORMAT, "%s: a wrong checksum of a message", path);
    Events__Event *event = events__event__unpack(NULL, length, bytes + 12);
    if (!event) return FAIL(ERR_FORMAT, "%s: no event", path);
    TRY(array_room(&out->items, &out->room, out->count + 1));
    out->items[out->count++] = event;
    *used = 16 + length;
    return OK;
}

static inline void test_events_free(event_list *list)
{
    for (size_t i = 0; i < list->count; i++) events__event__free_unpacked(list->items[i], NULL);
    free(list->items);
    *list = (event_list){0};
}

/* All events of a file; the caller frees them with test_events_free, also after an error. */
static inline status test_events_read(const char *path, event_list *out)
{
    char *bytes;
    size_t length, used = 0;
    *out = (event_list){0};
    TRY(fs_read(path, 0, &bytes, &length));
    status s = OK;
    for (size_t at = 0; s == OK && at < length; at += used)
        s = test_events_record(path, (const uint8_t *)bytes + at, length - at, out, &used);
    free(bytes);
    return s;
}

/* The path of the only event file in a folder; the caller frees. NULL if there is none, or more. */
static inline char *test_events_find(const char *folder)
{
    fs_names names;
    char *path = NULL;
    int found = 0;
    if (fs_list(folder, &names) != OK) return NULL;
    for (size_t i = 0; i < names.count; i++)
        if (text_starts_with(names.names[i], "events.out.tfevents.") && !found++)
            path = path_join(folder, names.names[i]);
    fs_names_free(&names);
    if (found == 1) return path;
    free(path);
    return NULL;
}

#endif
