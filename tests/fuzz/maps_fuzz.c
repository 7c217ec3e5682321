/* Any bytes as a MessagePack map of a message: hyps, options, metrics. What is taken is whole and finite where that is promised, and reads
 * the same once it has been packed again. The first byte chooses what the map is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/train_options.h"
#include "proto/maps.h"

enum { HYPS, OPTIONS, METRICS, WAYS };

static void read_hyps(const uint8_t *data, size_t count)
{
    hyp_space space;
    double values[HYP_MAX] = {0}, again[HYP_MAX] = {0};
    bytes packed;
    hyp_space_default(&space);
    if (map_unpack_hyps(data, count, &space, values) != OK) return;
    for (size_t i = 0; i < space.count; i++)
        if (!isfinite(values[i])) abort();
    if (map_pack_hyps(&space, values, &packed) != OK) abort();
    if (map_unpack_hyps(packed.data, packed.count, &space, again) != OK || memcmp(values, again, sizeof values))
        abort();
    bytes_free(&packed);
}

static void read_options(const uint8_t *data, size_t count)
{
    train_options o = {0}, again = {0};
    bytes packed, twice;
    option_section sections[] = {train_section(&o, NULL), train_section(&again, NULL)};
    if (options_defaults(sections, 2) != OK) abort();
    if (map_unpack_options(data, count, train_rows, TRAIN_ROWS, &o, NULL) == OK) {
        if (map_pack_options(train_rows, TRAIN_ROWS, &o, &packed) == OK) {
            if (map_unpack_options(packed.data, packed.count, train_rows, TRAIN_ROWS, &again, NULL) != OK) abort();
            if (map_pack_options(train_rows, TRAIN_ROWS, &again, &twice) != OK) abort();
            if (packed.count != twice.count || memcmp(packed.data, twice.data, twice.count)) abort();
            bytes_free(&twice);
            bytes_free(&packed);
        }
    }
    options_free(sections, 2);
}

static void read_metrics(const uint8_t *data, size_t count)
{
    metrics m;
    bytes packed;
    if (map_unpack_metrics(data, count, &m) != OK) return;
    if (m.count > METRICS_MOST) abort();
    for (size_t i = 0; i < m.count; i++)
        if (strlen(m.item[i].key) >= HYP_KEY_ROOM) abort();
    if (map_pack_metrics(&m, &packed) != OK) abort();
    bytes_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    if (!count) return 0;
    log_set_level(LEVEL_SILENT);
    switch (data[0] % WAYS) {
    case HYPS: read_hyps(data + 1, count - 1); break;
    case OPTIONS: read_options(data + 1, count - 1); break;
    default: read_metrics(data + 1, count - 1);
    }
    return 0;
}
