/* store.c - a specification in a store: written as the list of list.c, read back by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "coordinator/spec/inner.h"

static status save(store *s, status (*make_list)(const run_spec *, parts *), const run_spec *spec)
{
    parts p = {0};
    status result = make_list(spec, &p);
    for (size_t i = 0; result == OK && i < p.count; i++) {
        text name = {0};
        text_add(&name, "spec %s", p.items[i].name);
        result = text_status(&name);
        if (result == OK) result = store_set(s, text_string(&name), p.items[i].value);
        text_free(&name);
    }
    spec_parts_free(&p);
    return result;
}

status spec_save(store *s, const run_spec *spec)
{
    return save(s, spec_list, spec);
}

status spec_save_settled(store *s, const run_spec *spec)
{
    return save(s, spec_list_settled, spec);
}

/* The caller frees *value; ERR_FORMAT if there is none. */
static status need(store *s, const char *name, char **value)
{
    text whole = {0};
    text_add(&whole, "spec %s", name);
    status result = text_status(&whole);
    if (result == OK) result = store_get(s, text_string(&whole), value);
    if (result == OK && !*value) result = FAIL(ERR_FORMAT, "the store has no '%s'", text_string(&whole));
    text_free(&whole);
    return result;
}

static status need_double(store *s, const char *name, double *value)
{
    char *words = NULL;
    TRY(need(s, name, &words));
    status result = text_to_double(words, value) ? OK : FAIL(ERR_FORMAT, "the store's %s is '%s'", name, words);
    free(words);
    return result;
}

static status need_long(store *s, const char *name, long long *value)
{
    char *words = NULL;
    TRY(need(s, name, &words));
    status result = text_to_long(words, value) ? OK : FAIL(ERR_FORMAT, "the store's %s is '%s'", name, words);
    free(words);
    return result;
}

/* An option that the store does not know is younger than the run, which was trained with its default. */
static status load_options(store *s, run_spec *out)
{
    option_section section = train_section(&out->train, NULL);
    TRY(options_defaults(&section, 1));
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        char key[OPTION_KEY_ROOM], *value = NULL;
        text name = {0};
        options_key(&train_rows[i], key);
        text_add(&name, "spec %s%s", spec_has_option(&train_rows[i]) ? "option " : "file ", key);
        status result = text_status(&name);
        if (result == OK) result = store_get(s, text_string(&name), &value);
        if (result == OK && value) result = options_set(&train_rows[i], &out->train, value, "the store");
        free(value);
        text_free(&name);
        if (result != OK) return result;
    }
    return OK;
}

/* Those of an external trainer, in their order. */
static status load_external(store *s, run_spec *out)
{
    char *words = NULL, *rest = NULL;
    TRY(need(s, "hyperparameters", &words));
    out->trained = (hyp_space){.digits = -1};
    status result = OK;
    for (char *key = strtok_r(words, " ", &rest); result == OK && key; key = strtok_r(NULL, " ", &rest))
        if (!hyp_key_is_plain(key) || hyp_find(&out->trained, key) >= 0 || !hyp_add_row(&out->trained, key))
            result = FAIL(ERR_FORMAT, "the store's hyperparameters have a bad key");
    free(words);
    return result;
}

static status load_hyps(store *s, run_spec *out)
{
    char *trainer = NULL;
    TRY(store_get(s, "spec trainer", &trainer)); /* none: as old as Mendel's own */
    out->external = trainer && !strcmp(trainer, "external");
    free(trainer);
    hyp_space_default(&out->trained);
    if (out->external) TRY(load_external(s, out));
    for (size_t i = 0; i < out->trained.count; i++) {
        char name[HYP_KEY_ROOM + 8];
        snprintf(name, sizeof name, "hyp %s", out->trained.rows[i].key);
        TRY(need_double(s, name, &out->hyps[i]));
    }
    return OK;
}

static status load_space_row(char *line, hyp_row *row, double *base)
{
    double *const numbers[] = {&row->gain, &row->low, &row->high, &row->valid_low, &row->valid_high, base};
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    if (!word || strlen(word) >= HYP_KEY_ROOM) return FAIL(ERR_FORMAT, "the store's search space has a bad key");
    memcpy(row->key, word, strlen(word) + 1);
    row->meaning = "";
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        word = strtok_r(NULL, " ", &rest);
        if (!word || !text_to_double(word, numbers[i]))
            return FAIL(ERR_FORMAT, "the store's search space: %s: a number was expected", row->key);
    }
    return OK;
}

static status load_space(store *s, run_spec *out)
{
    char *words = NULL, *rest = NULL;
    long long digits;
    TRY(need(s, "search space", &words));
    char *line = strtok_r(words, "\n", &rest);
    status result = line && text_to_long(line, &digits) ? OK : FAIL(ERR_FORMAT, "the store's search space is empty");
    if (result == OK) out->space = (hyp_space){.digits = (int)digits};
    while (result == OK && (line = strtok_r(NULL, "\n", &rest))) {
        if (out->space.count == HYP_MAX) result = FAIL(ERR_FORMAT, "the store's search space is too large");
        else result = load_space_row(line, &out->space.rows[out->space.count], &out->base[out->space.count]);
        if (result == OK) out->space.count++;
    }
    free(words);
    return result;
}

static status load_digest(store *s, int split, run_spec *out)
{
    data_digest *d = &out->digests[split];
    long long n[4];
    char *words = NULL, name[64];
    snprintf(name, sizeof name, "spec %s", spec_digest_names[split]);
    TRY(store_get(s, name, &words));
    out->has_data = words != NULL;
    if (!words) return OK;
    int read =
        sscanf(words, "%lld %lld %lld %lld %32s %32s %32s", &n[0], &n[1], &n[2], &n[3], d->names, d->sizes, d->labels);
    d->images = n[0], d->image_bytes = n[1], d->label_files = n[2], d->label_bytes = n[3];
    status result = read == 7 ? OK : FAIL(ERR_FORMAT, "the store's %s is '%s'", spec_digest_names[split], words);
    free(words);
    return result;
}

static status load_breeding(store *s, run_spec *out)
{
    char *words = NULL;
    long long seed;
    TRY(need(s, "strategy", &words));
    out->strategy = strategy_find(words);
    status result = out->strategy ? OK : FAIL(ERR_FORMAT, "the store's strategy is '%s'", words);
    free(words);
    if (result != OK) return result;
    out->breeding = BREEDING_DEFAULTS;
    TRY(need(s, "parent", &words));
    out->breeding.parent = strcmp(words, "weighted") ? PARENT_SINGLE : PARENT_WEIGHTED;
    free(words);
    TRY(need_double(s, "mutation", &out->breeding.probability));
    TRY(need_double(s, "sigma", &out->breeding.sigma));
    TRY(need_long(s, "run-seed", &seed));
    out->seed = (uint64_t)seed;
    TRY(need(s, "fitness", &words));
    result = spec_read_fitness(words, out->fitness);
    free(words);
    return result;
}

/* A run that is older than pruning stops nobody. */
static status load_pruning(store *s, run_spec *out)
{
    char *words = NULL;
    long long least;
    out->prune = (prune_options){prune_rule_find("none"), 0.25, 5};
    TRY(store_get(s, "spec prune", &words));
    if (!words) return OK;
    out->prune.rule = prune_rule_find(words);
    status result = out->prune.rule ? OK : FAIL(ERR_FORMAT, "the store's prune is '%s'", words);
    free(words);
    if (result != OK) return result;
    TRY(need_double(s, "prune-warmup", &out->prune.warmup));
    TRY(need_long(s, "prune-least", &least));
    out->prune.least = least;
    return OK;
}

static status load(store *s, run_spec *out)
{
    long long weights_bytes;
    TRY(load_breeding(s, out));
    TRY(load_pruning(s, out));
    TRY(load_hyps(s, out));
    TRY(load_space(s, out));
    TRY(load_options(s, out));
    TRY(need(s, "data yaml", &out->data_yaml));
    TRY(need(s, "file data_root", &out->data_root));
    TRY(need(s, "model yaml", &out->model_yaml));
    TRY(need(s, "weights", &out->weights_hash));
    TRY(need(s, "file weights_path", &out->weights_path));
    TRY(need_long(s, "file weights_bytes", &weights_bytes));
    out->weights_bytes = weights_bytes;
    for (int split = DATA_TRAIN; split <= DATA_VAL; split++) TRY(load_digest(s, split, out));
    return OK;
}

status spec_load(store *s, run_spec *out)
{
    *out = (run_spec){0};
    status result = load(s, out);
    if (result != OK) spec_free(out);
    return result;
}
