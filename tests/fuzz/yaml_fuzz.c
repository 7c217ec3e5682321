/* Any bytes as one of the yaml files that users write: hyps, a search space, a data set, a model; and as a tree that is written again and
 * reads the same. The first byte chooses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/data_yaml.h"
#include "common/hyp.h"
#include "common/log.h"
#include "common/text.h"
#include "common/yaml.h"
#include "tests/fuzz/file.h"
#include "worker/model/config.h"

enum { TREE, HYPS, SPACE, DATA, MODEL, WAYS };

static void read_tree(const char *words, size_t count)
{
    yaml *file, *again;
    text first = {0}, second = {0};
    if (yaml_parse("fuzz.yaml", words, count, &file) != OK) return;
    yaml_write(&first, yaml_root(file));
    if (first.bytes && yaml_parse("again.yaml", first.bytes, first.length, &again) == OK) {
        yaml_write(&second, yaml_root(again));
        if (first.length != second.length || memcmp(first.bytes, second.bytes, first.length)) abort();
        yaml_destroy(&again);
    }
    text_free(&first);
    text_free(&second);
    yaml_destroy(&file);
}

static void read_hyps(const char *words)
{
    hyp_space space;
    double values[HYP_MAX];
    hyp_space_default(&space);
    for (size_t i = 0; i < space.count; i++) values[i] = 0;
    if (hyp_parse("hyp.yaml", words, &space, values) != OK) return;
    for (size_t i = 0; i < space.count; i++)
        if (!isfinite(values[i])) abort();
}

static void read_space(const char *words, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    hyp_space space;
    int descriptor = fuzz_file((const uint8_t *)words, count, path);
    if (hyp_space_read(path, &space) == OK)
        for (size_t i = 0; i < space.count; i++)
            if (!(space.rows[i].low <= space.rows[i].high)) abort();
    close(descriptor);
}

static void read_data(const char *words)
{
    data_yaml d;
    if (data_yaml_parse("data.yaml", words, "/nowhere", &d) != OK) return;
    data_yaml_free(&d);
}

static void read_model(const char *words)
{
    model_config c;
    if (model_config_parse("model.yaml", words, 0, &c) != OK) return;
    for (size_t i = 0; i < c.count; i++)
        for (int k = 0; k < c.layers[i].from_count; k++)
            if (c.layers[i].from[k] >= (int)i) abort();
    model_config_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    if (!count) return 0;
    log_set_level(LEVEL_SILENT);
    char *words = malloc(count);
    if (!words) return 0;
    memcpy(words, data + 1, count - 1);
    words[count - 1] = '\0';
    switch (data[0] % WAYS) {
    case TREE: read_tree(words, count - 1); break;
    case HYPS: read_hyps(words); break;
    case SPACE: read_space(words, count - 1); break;
    case DATA: read_data(words); break;
    default: read_model(words);
    }
    free(words);
    return 0;
}
