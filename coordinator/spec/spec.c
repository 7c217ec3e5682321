/* spec.c - a run's specification from the command line, and compared with the one that is kept.
 *
 * What the store keeps and what two specifications are compared by is one list (list.c), so that neither can forget a part. */
#include "coordinator/spec/inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    hyp_space trained = spec->trained;
    if (!spec->external) train_options_space(&spec->train, &trained);
    for (size_t i = 0; i < trained.count; i++)
        if (hyp_find(&spec->space, trained.rows[i].key) < 0) return false;
    return true;
}

void spec_whole_hyps(const run_spec *spec, const double *hyps, double *whole)
{
    for (size_t i = 0; i < spec->trained.count; i++) {
        int row = hyp_find(&spec->space, spec->trained.rows[i].key);
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

status spec_read_fitness(const char *words, double weights[FITNESS_TERMS])
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
    hyp_space_default(&out->trained);
    TRY(train_options_hyps(&out->train, out->hyps));
    if (!*o->meta) train_options_space(&out->train, &out->space);
    else TRY(hyp_space_read(o->meta, &out->space));
    for (size_t i = 0; i < out->space.count; i++) {
        hyp_row *row = &out->space.rows[i];
        int known = hyp_find(&out->trained, row->key);
        if (known < 0) return FAIL(ERR_ARGUMENT, "%s: '%s' is no hyperparameter of this trainer", o->meta, row->key);
        row->valid_low = out->trained.rows[known].valid_low;
        row->valid_high = out->trained.rows[known].valid_high;
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
    if (!*path) { /* an external trainer has its own */
        out->data_yaml = text_copy("");
        return out->data_yaml ? current_folder(&out->data_root) : FAIL(ERR_MEMORY, "out of memory");
    }
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

/* Candidates that may be stopped are looked at on their way: ten times, unless that was said. */
static void choose_pruning(const coordinator_options *o, run_spec *out)
{
    enum { LOOKS = 10 };
    out->prune = (prune_options){prune_rule_at(o->prune), o->prune_warmup, o->prune_least};
    if (!prune_active(&out->prune) || out->train.test_every) return;
    out->train.test_every = out->train.epochs > LOOKS ? out->train.epochs / LOOKS : 1;
}

static status make(const coordinator_options *o, const train_options *train, const bool *given, run_spec *out)
{
    static const char *const strategies[] = {"mendel", "yolov5", "yolov5-as-run", "random"};
    out->external = o->external || *o->trainer;
    TRY(copy_train_options(train, &out->train));
    if (out->external) TRY(spec_complete_external(&out->train, given));
    else TRY(train_options_complete(&out->train, given));
    TRY(train_options_find_files(&out->train));
    if (*out->train.resume)
        return FAIL(ERR_ARGUMENT, "--resume: a candidate starts anew; an evolution goes on with --run");
    out->train.nosave = out->train.notest = true; /* of all its epochs only the last one counts */
    choose_pruning(o, out);
    out->strategy = strategy_find(strategies[o->strategy]);
    out->breeding = BREEDING_DEFAULTS;
    out->breeding.parent = (parent_mode)o->parent;
    out->breeding.probability = o->probability;
    out->breeding.sigma = o->sigma;
    out->seed = (uint64_t)o->run_seed;
    TRY(spec_read_fitness(o->fitness, out->fitness));
    if (out->external) TRY(spec_make_external_space(o->meta, out));
    else TRY(make_space(o, out));
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
    status s = spec_list(kept, &a);
    if (s == OK) s = spec_list(asked, &b);
    if (s == OK) s = compare(&a, &b, asked->train.precision == TRAIN_AUTO);
    for (int split = DATA_TRAIN; s == OK && kept->has_data && asked->has_data && split <= DATA_VAL; split++)
        s = data_digest_compare(split == DATA_TRAIN ? "train" : "val", &asked->digests[split], &kept->digests[split]);
    spec_parts_free(&a);
    spec_parts_free(&b);
    return s;
}
