/* spec.c - a run's specification as a list of names and texts.
 *
 * The same list is what the store keeps and what two specifications are compared by, so that neither can forget a part. Reading
 * it back goes by name. */
#include "coordinator/spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/fs.h"
#include "common/text.h"

/* Each of the yaml files; a data yaml with 80 names has 2 kB. */
enum { YAML_BYTES_MOST = 1 << 20 };

void spec_free(run_spec *spec)
{
    option_section section = train_section(&spec->train, NULL);
    options_free(&section, 1);
    char **const texts[] = {&spec->data_yaml, &spec->data_root, &spec->model_yaml, &spec->weights_path,
                            &spec->weights_hash};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

/* ---- a part of the hyps ---- */

bool spec_evolves_all(const run_spec *spec)
{
    hyp_space trained;
    hyp_space_default(&trained);
    for (size_t i = 0; i < trained.count; i++)
        if (hyp_find(&spec->space, trained.rows[i].key) < 0) return false;
    return true;
}

void spec_whole_hyps(const run_spec *spec, const double *hyps, double *whole)
{
    hyp_space trained;
    hyp_space_default(&trained);
    for (size_t i = 0; i < trained.count; i++) {
        int row = hyp_find(&spec->space, trained.rows[i].key);
        whole[i] = row < 0 ? spec->hyps[i] : hyps[row];
    }
}

const char *spec_best_file(const run_spec *spec)
{
    return spec_evolves_all(spec) ? "hyp_evolved.yaml" : "hyp_best.yaml";
}

/* ---- from the command line ---- */

static status copy_train_options(const train_options *from, train_options *to)
{
    option_section section = train_section(to, NULL);
    TRY(options_defaults(&section, 1));
    text value = {0};
    status s = OK;
    for (size_t i = 0; s == OK && i < TRAIN_ROWS; i++) {
        text_clear(&value);
        options_get(&train_rows[i], from, &value);
        s = text_status(&value);
        if (s == OK) s = options_set(&train_rows[i], to, text_string(&value), train_rows[i].name);
    }
    text_free(&value);
    return s;
}

static status read_fitness(const char *words, double weights[FITNESS_TERMS])
{
    char extra;
    double sum = 0;
    int read = sscanf(words, "%lf %lf %lf %lf %c", &weights[0], &weights[1], &weights[2], &weights[3], &extra);
    for (int i = 0; i < read && i < FITNESS_TERMS; i++) sum += weights[i];
    if (read == FITNESS_TERMS && isfinite(sum) && sum > 0) return OK;
    return FAIL(ERR_ARGUMENT, "--fitness: four weights, not all 0, were expected, found '%s'", words);
}

/* The space that evolves, and where it starts. */
static status make_space(const coordinator_options *o, run_spec *out)
{
    hyp_space trained;
    hyp_space_default(&trained);
    if (!*o->meta) hyp_space_default(&out->space);
    else TRY(hyp_space_read(o->meta, &out->space));
    for (size_t i = 0; i < out->space.count; i++) {
        hyp_row *row = &out->space.rows[i];
        int known = hyp_find(&trained, row->key);
        if (known < 0) return FAIL(ERR_ARGUMENT, "%s: '%s' is no hyperparameter of this trainer", o->meta, row->key);
        row->valid_low = trained.rows[known].valid_low;
        row->valid_high = trained.rows[known].valid_high;
        out->base[i] = out->hyps[known];
    }
    return OK;
}

static status current_folder(char **out)
{
    *out = path_real(".");
    return *out ? OK : FAIL(ERR_IO, "cannot tell the working directory");
}

/* Relative paths start from the working directory if that finds all of them, else from the yaml's folder. */
static status find_data_root(const char *path, run_spec *out, data_yaml *data)
{
    TRY(current_folder(&out->data_root));
    if (data_yaml_parse(path, out->data_yaml, out->data_root, data) == OK) return OK;
    free(out->data_root);
    char *folder = path_folder(path);
    out->data_root = folder ? path_real(folder) : NULL;
    free(folder);
    if (!out->data_root) return FAIL(ERR_IO, "cannot tell the folder of %s", path);
    return data_yaml_parse(path, out->data_yaml, out->data_root, data);
}

static status read_data(const char *path, run_spec *out)
{
    size_t count;
    data_yaml data = {0};
    TRY(fs_read(path, YAML_BYTES_MOST, &out->data_yaml, &count));
    status s = find_data_root(path, out, &data);
    for (int split = DATA_TRAIN; s == OK && split <= DATA_VAL; split++)
        s = data_yaml_digest(&data, (data_split)split, &out->digests[split]);
    out->has_data = s == OK;
    data_yaml_free(&data);
    return s;
}

static status read_weights(const char *path, run_spec *out)
{
    struct stat about;
    char hash[FS_HASH_ROOM] = "";
    if (*path) {
        TRY(fs_hash_file(path, hash));
        if (stat(path, &about)) return FAIL(ERR_IO, "cannot read %s", path);
        out->weights_bytes = about.st_size;
    }
    out->weights_path = *path ? path_real(path) : text_copy("");
    out->weights_hash = text_copy(hash);
    return out->weights_path && out->weights_hash ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status read_model(const char *path, run_spec *out)
{
    size_t count;
    if (*path) return fs_read(path, YAML_BYTES_MOST, &out->model_yaml, &count);
    out->model_yaml = text_copy("");
    return out->model_yaml ? OK : FAIL(ERR_MEMORY, "out of memory");
}

static status make(const coordinator_options *o, const train_options *train, const bool *given, run_spec *out)
{
    static const char *const strategies[] = {"mendel", "yolov5", "yolov5-as-run", "random"};
    TRY(copy_train_options(train, &out->train));
    TRY(train_options_complete(&out->train, given));
    TRY(train_options_find_files(&out->train));
    if (*out->train.resume)
        return FAIL(ERR_ARGUMENT, "--resume: a candidate starts anew; an evolution goes on with --run");
    out->train.nosave = out->train.notest = true; /* of all its epochs only the last one counts */
    out->strategy = strategy_find(strategies[o->strategy]);
    out->breeding = BREEDING_DEFAULTS;
    out->breeding.parent = (parent_mode)o->parent;
    out->breeding.probability = o->probability;
    out->breeding.sigma = o->sigma;
    out->seed = (uint64_t)o->run_seed;
    TRY(read_fitness(o->fitness, out->fitness));
    TRY(train_options_hyps(&out->train, out->hyps));
    TRY(make_space(o, out));
    TRY(read_weights(out->train.weights, out));
    TRY(read_model(out->train.cfg, out));
    return read_data(out->train.data, out);
}

status spec_make(const coordinator_options *o, const train_options *train, const bool *train_given, run_spec *out)
{
    *out = (run_spec){0};
    status s = make(o, train, train_given, out);
    if (s != OK) spec_free(out);
    return s;
}

/* ---- the list ---- */

typedef struct part {
    char *name, *value;
} part;

typedef struct parts {
    part *items;
    size_t count, room;
} parts;

static void parts_free(parts *p)
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

/* Options that say where or how fast a candidate is trained, or that stand as contents beside them. */
static bool is_of_the_run(const option_row *row)
{
    static const char *const others[] = {"weights", "cfg",    "data",   "hyp",     "resume",
                                         "name",    "device", "logdir", "workers", "threads"};
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
        TRY(add_text(p, is_of_the_run(&train_rows[i]) ? "option " : "file ", key, &value));
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

static status add_hyps(parts *p, const run_spec *spec)
{
    hyp_space trained;
    hyp_space_default(&trained);
    for (size_t i = 0; i < trained.count; i++) TRY(add_number(p, "hyp ", trained.rows[i].key, spec->hyps[i]));
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

static const char *const digest_names[] = {"data of train", "data of val"};

/* What may be settled after the start: see spec_save_settled. */
static status list_settled(const run_spec *spec, parts *out)
{
    text precision = {0};
    options_get(options_find(train_rows, TRAIN_ROWS, "precision"), &spec->train, &precision);
    TRY(add_text(out, "option ", "precision", &precision));
    if (!spec->has_data) return OK;
    for (int split = DATA_TRAIN; split <= DATA_VAL; split++)
        TRY(add_digest(out, digest_names[split], &spec->digests[split]));
    return OK;
}

static status list(const run_spec *spec, parts *out)
{
    TRY(add_string(out, "strategy", strategy_name(spec->strategy)));
    TRY(add_string(out, "parent", spec->breeding.parent == PARENT_WEIGHTED ? "weighted" : "single"));
    TRY(add_number(out, "", "mutation", spec->breeding.probability));
    TRY(add_number(out, "", "sigma", spec->breeding.sigma));
    TRY(add_integer(out, "run-seed", (int64_t)spec->seed));
    TRY(add_fitness(out, spec));
    TRY(add_hyps(out, spec));
    TRY(add_space(out, spec));
    TRY(add_options(out, spec));
    TRY(add_string(out, "data yaml", spec->data_yaml));
    TRY(add_string(out, "model yaml", spec->model_yaml));
    TRY(add_string(out, "weights", spec->weights_hash));
    TRY(add_integer(out, "file weights_bytes", spec->weights_bytes));
    TRY(add_string(out, "file data_root", spec->data_root));
    TRY(add_string(out, "file weights_path", spec->weights_path));
    return list_settled(spec, out);
}

/* ---- the store ---- */

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
    parts_free(&p);
    return result;
}

status spec_save(store *s, const run_spec *spec)
{
    return save(s, list, spec);
}

status spec_save_settled(store *s, const run_spec *spec)
{
    return save(s, list_settled, spec);
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
        text_add(&name, "spec %s%s", is_of_the_run(&train_rows[i]) ? "option " : "file ", key);
        status result = text_status(&name);
        if (result == OK) result = store_get(s, text_string(&name), &value);
        if (result == OK && value) result = options_set(&train_rows[i], &out->train, value, "the store");
        free(value);
        text_free(&name);
        if (result != OK) return result;
    }
    return OK;
}

static status load_hyps(store *s, run_spec *out)
{
    hyp_space trained;
    hyp_space_default(&trained);
    for (size_t i = 0; i < trained.count; i++) {
        char name[HYP_KEY_ROOM + 8];
        snprintf(name, sizeof name, "hyp %s", trained.rows[i].key);
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
    snprintf(name, sizeof name, "spec %s", digest_names[split]);
    TRY(store_get(s, name, &words));
    out->has_data = words != NULL;
    if (!words) return OK;
    int read =
        sscanf(words, "%lld %lld %lld %lld %32s %32s %32s", &n[0], &n[1], &n[2], &n[3], d->names, d->sizes, d->labels);
    d->images = n[0], d->image_bytes = n[1], d->label_files = n[2], d->label_bytes = n[3];
    status result = read == 7 ? OK : FAIL(ERR_FORMAT, "the store's %s is '%s'", digest_names[split], words);
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
    result = read_fitness(words, out->fitness);
    free(words);
    return result;
}

static status load(store *s, run_spec *out)
{
    long long weights_bytes;
    TRY(load_breeding(s, out));
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

/* ---- comparison ---- */

static const char *find(const parts *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (!strcmp(p->items[i].name, name)) return p->items[i].value;
    return NULL;
}

static status differs(const char *name, const char *kept, const char *asked)
{
    enum { SHORT = 60 };
    if (text_starts_with(name, "option ")) {
        const option_row *row = options_find(train_rows, TRAIN_ROWS, name + strlen("option "));
        return FAIL(ERR_REFUSED, "--%s is '%s', the run was started with '%s'", row ? row->name : name, asked, kept);
    }
    if (strlen(kept) > SHORT || strlen(asked) > SHORT || strchr(kept, '\n') || !strcmp(name, "weights"))
        return FAIL(ERR_REFUSED, "another %s than the run was started with", name);
    return FAIL(ERR_REFUSED, "%s is '%s', the run was started with '%s'", name, asked, kept);
}

static status compare(const parts *kept, const parts *asked, bool was_auto)
{
    for (size_t i = 0; i < asked->count; i++) {
        const char *name = asked->items[i].name, *value = find(kept, name);
        if (text_starts_with(name, "file ") || text_starts_with(name, "data of ")) continue;
        if (was_auto && !strcmp(name, "option precision")) continue;
        if (!value || strcmp(value, asked->items[i].value))
            return differs(name, value ? value : "", asked->items[i].value);
    }
    return OK;
}

status spec_compare(const run_spec *kept, const run_spec *asked)
{
    parts a = {0}, b = {0};
    status s = list(kept, &a);
    if (s == OK) s = list(asked, &b);
    if (s == OK) s = compare(&a, &b, asked->train.precision == TRAIN_AUTO);
    for (int split = DATA_TRAIN; s == OK && kept->has_data && asked->has_data && split <= DATA_VAL; split++)
        s = data_digest_compare(split == DATA_TRAIN ? "train" : "val", &asked->digests[split], &kept->digests[split]);
    parts_free(&a);
    parts_free(&b);
    return s;
}
