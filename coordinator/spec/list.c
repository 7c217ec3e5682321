/* list.c - a run's specification as a list of names and texts. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/text.h"
#include "coordinator/spec/inner.h"

void spec_parts_free(parts *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
    *p = (parts){0};
}

/* Takes the value. */
static status add_text(parts *p, const char *front, const char *name, text *value)
{
    text whole = {0};
    text_add(&whole, "%s%s", front, name);
    status s = text_status(value);
    if (s == OK) s = array_room(&p->items, &p->room, p->count + 1);
    if (s == OK) {
        part *item = &p->items[p->count++];
        item->value = text_take(value);
        if (!item->value) item->value = text_copy("");
        item->name = text_take(&whole);
        if (!item->name || !item->value) s = FAIL(ERR_MEMORY, "out of memory");
    }
    text_free(&whole);
    text_free(value);
    return s;
}

static status add_string(parts *p, const char *name, const char *value)
{
    text copy = {0};
    text_add(&copy, "%s", value);
    return add_text(p, "", name, &copy);
}

static void add_double(text *t, const char *front, double value)
{
    char decimal[TEXT_DOUBLE_ROOM];
    text_from_double(decimal, value);
    text_add(t, "%s%s", front, decimal);
}

static status add_number(parts *p, const char *front, const char *name, double value)
{
    text decimal = {0};
    add_double(&decimal, "", value);
    return add_text(p, front, name, &decimal);
}

bool spec_has_option(const option_row *row)
{
    static const char *const others[] = {"weights", "cfg",     "data",    "hyp",   "resume",      "name",     "device",
                                         "logdir",  "workers", "threads", "plots", "tensorboard", "exist-ok", "bucket"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(row->name, others[i])) return false;
    return true;
}

static status add_options(parts *p, const run_spec *spec)
{
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        char key[OPTION_KEY_ROOM];
        text value = {0};
        options_key(&train_rows[i], key);
        options_get(&train_rows[i], &spec->train, &value);
        TRY(add_text(p, spec_has_option(&train_rows[i]) ? "option " : "file ", key, &value));
    }
    return OK;
}

static status add_space(parts *p, const run_spec *spec)
{
    text rows = {0};
    text_add(&rows, "%d\n", spec->space.digits);
    for (size_t i = 0; i < spec->space.count; i++) {
        const hyp_row *r = &spec->space.rows[i];
        const double numbers[] = {r->gain, r->low, r->high, r->valid_low, r->valid_high, spec->base[i]};
        text_add(&rows, "%s", r->key);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) add_double(&rows, " ", numbers[k]);
        text_add(&rows, "\n");
    }
    return add_text(p, "", "search space", &rows);
}

/* Their names by themselves, since the store keeps no order. */
static status add_hyps(parts *p, const run_spec *spec)
{
    text keys = {0};
    for (size_t i = 0; i < spec->trained.count; i++) text_add(&keys, "%s%s", i ? " " : "", spec->trained.rows[i].key);
    TRY(add_text(p, "", "hyperparameters", &keys));
    for (size_t i = 0; i < spec->trained.count; i++)
        TRY(add_number(p, "hyp ", spec->trained.rows[i].key, spec->hyps[i]));
    return OK;
}

static status add_fitness(parts *p, const run_spec *spec)
{
    text weights = {0};
    for (int i = 0; i < FITNESS_TERMS; i++) add_double(&weights, i ? " " : "", spec->fitness[i]);
    return add_text(p, "", "fitness", &weights);
}

static status add_digest(parts *p, const char *name, const data_digest *d)
{
    text words = {0};
    text_add(&words, "%lld %lld %lld %lld %s %s %s", (long long)d->images, (long long)d->image_bytes,
             (long long)d->label_files, (long long)d->label_bytes, d->names, d->sizes, d->labels);
    return add_text(p, "", name, &words);
}

static status add_integer(parts *p, const char *name, int64_t value)
{
    text decimal = {0};
    text_add(&decimal, "%lld", (long long)value);
    return add_text(p, "", name, &decimal);
}

const char *const spec_digest_names[SPEC_DIGESTS] = {"data of train", "data of val"};

status spec_list_settled(const run_spec *spec, parts *out)
{
    text precision = {0};
    options_get(options_find(train_rows, TRAIN_ROWS, "precision"), &spec->train, &precision);
    TRY(add_text(out, "option ", "precision", &precision));
    if (!spec->has_data) return OK;
    for (int split = DATA_TRAIN; split <= DATA_VAL; split++)
        TRY(add_digest(out, spec_digest_names[split], &spec->digests[split]));
    return OK;
}

status spec_list(const run_spec *spec, parts *out)
{
    TRY(add_string(out, "strategy", strategy_name(spec->strategy)));
    TRY(add_string(out, "parent", spec->breeding.parent == PARENT_WEIGHTED ? "weighted" : "single"));
    TRY(add_number(out, "", "mutation", spec->breeding.probability));
    TRY(add_number(out, "", "sigma", spec->breeding.sigma));
    TRY(add_integer(out, "run-seed", (int64_t)spec->seed));
    TRY(add_fitness(out, spec));
    TRY(add_string(out, "prune", spec->prune.rule ? spec->prune.rule->name : "none"));
    TRY(add_number(out, "", "prune-warmup", spec->prune.warmup));
    TRY(add_integer(out, "prune-least", spec->prune.least));
    TRY(add_string(out, "trainer", spec->external ? "external" : "mendel"));
    TRY(add_hyps(out, spec));
    TRY(add_space(out, spec));
    TRY(add_options(out, spec));
    TRY(add_string(out, "data yaml", spec->data_yaml));
    TRY(add_string(out, "model yaml", spec->model_yaml));
    TRY(add_string(out, "weights", spec->weights_hash));
    TRY(add_integer(out, "file weights_bytes", spec->weights_bytes));
    TRY(add_string(out, "file data_root", spec->data_root));
    TRY(add_string(out, "file weights_path", spec->weights_path));
    return spec_list_settled(spec, out);
}
