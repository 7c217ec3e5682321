/* evolve/: parent selection and mutation to the last bit, the search spaces, and what print_mutation leaves, byte for byte. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "coordinator/evolve/breeding.h"
#include "coordinator/evolve/population.h"
#include "tests/parity/parity.h"

static const struct {
    const char *name;
    void (*make)(hyp_space *space);
} versions[] = {{"2020-08-31", hyp_space_default}, {"2020-07-20", hyp_space_2020_07_20}};
enum { VERSIONS = sizeof versions / sizeof *versions };

static bool find_version(parity *p, const char *name, hyp_space *space)
{
    for (size_t i = 0; i < VERSIONS; i++)
        if (!strcmp(versions[i].name, name)) {
            versions[i].make(space);
            return true;
        }
    case_fail(p, "unknown version \"%s\" of the reference", name);
    return false;
}

/* Fail for every key of a map that is not in the list (ended by NULL); "key_hex" is the exact twin of "key". */
static void check_keys(parity *p, const yaml_node *map, const char *const *known)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *key = yaml_string(&map->keys[i]);
        size_t length = key ? strlen(key) : 0;
        if (key && text_ends_with(key, "_hex")) length -= strlen("_hex");
        size_t k = 0;
        while (known[k] && (!key || strlen(known[k]) != length || memcmp(known[k], key, length))) k++;
        if (!known[k]) case_fail(p, "unknown key \"%s\"", key ? key : "?");
    }
}

static bool check_key_list(parity *p, const yaml_node *list, const hyp_space *space)
{
    bool good = list && list->kind == YAML_LIST && case_int(p, "keys", (int64_t)list->count, (int64_t)space->count);
    for (size_t i = 0; good && i < list->count; i++) {
        const char *key = yaml_string(&list->items[i]);
        good = key && !strcmp(key, space->rows[i].key);
        if (!good) case_fail(p, "key %zu is \"%s\", here %s", i, key ? key : "?", space->rows[i].key);
    }
    return good;
}

/* Compare with the doubles of `key`, which must be as many. */
static void check_doubles(parity *p, const yaml_node *map, const char *key, const double *got, size_t count)
{
    size_t found;
    const double *want = json_exact(p, map, key, &found);
    if (case_int(p, key, (int64_t)found, (int64_t)count)) case_numbers(p, key, got, want, count, EXACT);
}

/* ---- generations ---- */

/* Which row of the file a candidate of an imported population is. */
static int64_t file_row(int64_t candidate)
{
    return -1 - candidate;
}

/* "order" has all rows of the file by falling fitness, "fitness" and "weights" the first n of them. */
static void check_order(parity *p, const yaml_node *entry, const population *rows, const child *c)
{
    size_t count;
    const double *order = json_numbers(p, json_get(p, entry, "order"), &count);
    case_int(p, "n_rows", (int64_t)rows->count, json_int(p, entry, "n_rows"));
    case_int(p, "n", (int64_t)c->parent_count, json_int(p, entry, "n"));
    if (!case_int(p, "order", (int64_t)count, (int64_t)rows->count)) return;
    double fitness_of[BREEDING_PARENTS];
    for (size_t i = 0; i < c->parent_count; i++) {
        case_int(p, "order", file_row(c->parents[i]), (int64_t)order[i]);
        fitness_of[i] = member_fitness(rows, &rows->members[file_row(c->parents[i])]);
    }
    check_doubles(p, entry, "fitness", fitness_of, c->parent_count);
    check_doubles(p, entry, "weights", c->weights, c->parent_count);
}

/* The results that belong to the parent, which the fixture has in front of its hyperparameters. */
static void parent_results(const population *rows, const child *c, double *results)
{
    double total = 0;
    for (size_t i = 0; i < c->parent_count; i++) total += c->weights[i];
    for (int k = 0; k < RESULT_COUNT; k++) {
        double sum = 0;
        if (c->parent != PARENT_MEAN) results[k] = rows->members[file_row(c->parent)].results[k];
        if (c->parent != PARENT_MEAN) continue;
        for (size_t i = 0; i < c->parent_count; i++)
            sum += rows->members[file_row(c->parents[i])].results[k] * c->weights[i];
        results[k] = sum / total;
    }
}

static void check_parent(parity *p, const yaml_node *entry, const population *rows, const child *c, const double *hyps)
{
    const yaml_node *index = json_get(p, entry, "parent_index"), *row = json_get(p, entry, "parent_file_row");
    if (!index || !row) return;
    bool drawn = index->kind != YAML_NULL;
    if (drawn != (c->parent != PARENT_MEAN))
        case_fail(p, drawn ? "a parent was to be drawn" : "a mean was to be taken");
    if (drawn) {
        int64_t at = 0;
        while (at < (int64_t)c->parent_count && c->parents[at] != c->parent) at++;
        case_int(p, "parent_index", at, json_int(p, entry, "parent_index"));
    }
    if (row->kind != YAML_NULL)
        case_int(p, "parent_file_row", file_row(c->parent), json_int(p, entry, "parent_file_row"));
    double parent[RESULT_COUNT + HYP_MAX];
    parent_results(rows, c, parent);
    memcpy(parent + RESULT_COUNT, hyps, rows->space->count * sizeof *hyps);
    check_doubles(p, entry, "parent", parent, RESULT_COUNT + rows->space->count);
}

static void check_child(parity *p, const yaml_node *entry, const hyp_space *space, child *c)
{
    check_doubles(p, entry, "v", c->factors, space->count);
    check_doubles(p, entry, "child", c->hyps, space->count);
    case_int(p, "draws", c->rounds, json_int(p, entry, "draws"));
    hyp_space clip_only = *space;
    clip_only.digits = -1;
    double clipped[HYP_MAX];
    memcpy(clipped, c->hyps, sizeof clipped);
    hyp_constrain(&clip_only, clipped);
    check_doubles(p, entry, "child_clipped", clipped, space->count);
    hyp_constrain(space, c->hyps);
    check_doubles(p, entry, "child_final", c->hyps, space->count);
}

static bool read_parent_mode(parity *p, const yaml_node *entry, parent_mode *mode)
{
    const char *name = json_string(p, entry, "parent_mode");
    *mode = !strcmp(name, "weighted") ? PARENT_WEIGHTED : PARENT_SINGLE;
    if (*mode == PARENT_SINGLE && strcmp(name, "single")) case_fail(p, "unknown parent_mode \"%s\"", name);
    return !case_failed(p);
}

/* Where the reference raised an exception the fixture has what came of it up to Python 3.8; that is asked for. */
static void run_generation(parity *p, const yaml_node *entry)
{
    static const char *const known[] =
        {"case",         "version",   "parent_mode", "python_seed", "numpy_seed",    "evolve_txt",
         "hyp_keys",     "n_rows",    "n",           "order",       "fitness",       "weights",
         "parent_index", "exception", "parent",      "child",       "child_clipped", "parent_file_row",
         "child_final",  "v",         "draws",       NULL};
    check_keys(p, entry, known);
    hyp_space space;
    parent_mode mode;
    if (!find_version(p, json_string(p, entry, "version"), &space) || !read_parent_mode(p, entry, &mode)) return;
    if (!check_key_list(p, json_get(p, entry, "hyp_keys"), &space)) return;
    char path[512];
    snprintf(path, sizeof path, "evolve/%s", json_string(p, entry, "evolve_txt"));
    parity_use(p, path);
    population rows;
    population_start(&rows, &space, fitness_weights_default);
    if (case_ok(p, path, population_import(&rows, parity_path(p, path))) && rows.count) {
        breeding_rng r;
        breeding_options options = BREEDING_DEFAULTS;
        child c = {0};
        double parent[HYP_MAX];
        python_seed(&r.python, (uint64_t)json_int(p, entry, "python_seed"));
        numpy_seed(&r.numpy, (uint32_t)json_int(p, entry, "numpy_seed"));
        breeding_select(&r, &rows, rows.members, rows.count, mode, &c, parent);
        check_order(p, entry, &rows, &c);
        check_parent(p, entry, &rows, &c, parent);
        breeding_mutate(&r, &space, &options, parent, &c);
        check_child(p, entry, &space, &c);
    }
    population_free(&rows);
}

/* ---- the search spaces ---- */

static void check_limits_by_row(parity *p, const yaml_node *list, const hyp_space *space)
{
    for (size_t i = 0; i < list->count && i < space->count; i++) {
        const hyp_row *row = &space->rows[i];
        const double got[] = {row->gain, row->low, row->high};
        size_t count;
        const double *want = json_numbers(p, &list->items[i], &count);
        if (case_int(p, "gain_lower_upper", (int64_t)count, 3)) case_numbers(p, row->key, got, want, 3, EXACT);
    }
    case_int(p, "gain_lower_upper", (int64_t)list->count, (int64_t)space->count);
}

/* 2020-07-20 pairs a list of gains with the keys by position, and names limits for some keys. */
static void check_limits_by_key(parity *p, const yaml_node *version, const hyp_space *space)
{
    double gains[HYP_MAX], base[HYP_MAX];
    for (size_t i = 0; i < space->count; i++) gains[i] = space->rows[i].gain;
    hyp_defaults(space, false, base);
    check_doubles(p, version, "gain", gains, space->count);
    check_doubles(p, version, "base", base, space->count);
    const yaml_node *limits = json_get(p, version, "limits");
    for (size_t i = 0; limits && i < space->count; i++) {
        const hyp_row *row = &space->rows[i];
        const double got[] = {row->low, row->high};
        const double none[] = {-INFINITY, INFINITY};
        size_t count = 2;
        const yaml_node *entry = yaml_get(limits, row->key);
        const double *want = entry ? json_numbers(p, entry, &count) : none;
        if (case_int(p, row->key, (int64_t)count, 2)) case_numbers(p, row->key, got, want, 2, EXACT);
    }
    for (size_t i = 0; limits && i < limits->count; i++)
        if (hyp_find(space, yaml_string(&limits->keys[i])) < 0)
            case_fail(p, "limits for an unknown key \"%s\"", yaml_string(&limits->keys[i]));
}

static void run_meta(parity *p, const char *name, const yaml_node *version)
{
    static const char *const known[] = {"keys",         "gain_lower_upper",
                                        "gain",         "limits",
                                        "base",         "mutation_probability",
                                        "sigma",        "v_clip",
                                        "round_digits", NULL};
    check_keys(p, version, known);
    hyp_space space;
    if (!find_version(p, name, &space) || !check_key_list(p, json_get(p, version, "keys"), &space)) return;
    breeding_options o = BREEDING_DEFAULTS;
    const double clip[] = {o.low, o.high};
    case_number(p, "mutation_probability", o.probability, json_double(p, version, "mutation_probability"), EXACT);
    case_number(p, "sigma", o.sigma, json_double(p, version, "sigma"), EXACT);
    check_doubles(p, version, "v_clip", clip, 2);
    const yaml_node *digits = json_get(p, version, "round_digits");
    if (digits)
        case_int(p, "round_digits", space.digits,
                 digits->kind == YAML_NULL ? -1 : json_int(p, version, "round_digits"));
    const yaml_node *rows = yaml_get(version, "gain_lower_upper");
    if (rows) check_limits_by_row(p, rows, &space);
    else check_limits_by_key(p, version, &space);
}

/* ---- 2020-07-20 as it stands: an optimizer's name among the numbers, 19 keys for 18 gains ---- */

/* A hyp file with that key is refused in words or read without it; what is printed of a candidate has numbers alone. */
static void run_optimizer_key(parity *p, const hyp_space *space)
{
    double base[HYP_MAX], read[HYP_MAX];
    hyp_defaults(space, false, base);
    text file = {0}, console = {0};
    text_add(&file, "optimizer: SGD\n");
    hyp_write(&file, space, base);
    status s = hyp_parse("hyp.yaml", text_string(&file), space, read);
    if (s == OK) case_numbers(p, "hyps beside the optimizer", read, base, space->count, EXACT);
    else if (!strstr(status_message(), "hyp.yaml:1:") || !strstr(status_message(), "optimizer"))
        case_fail(p, "not clear: %s", status_message());
    population none;
    population_start(&none, space, fitness_weights_default);
    member m = {.candidate = 1};
    memcpy(m.hyps, base, sizeof base);
    case_ok(p, "console", population_console(&none, &m, &console));
    if (strstr(text_string(&console), "optimizer")) case_fail(p, "the optimizer is no hyperparameter");
    text_free(&file);
    text_free(&console);
}

/* Gains go with keys: over many mutations each key moves when, and only when, its own gain is not 0. */
static void run_gains_by_key(parity *p, const hyp_space *space)
{
    double base[HYP_MAX];
    hyp_defaults(space, false, base);
    breeding_options options = BREEDING_DEFAULTS;
    breeding_rng r;
    breeding_seed(&r, 1, 1);
    bool moved[HYP_MAX] = {false};
    for (int n = 0; n < 100; n++) {
        child c = {0};
        breeding_mutate(&r, space, &options, base, &c);
        for (size_t i = 0; i < space->count; i++) moved[i] = moved[i] || c.factors[i] != 1;
    }
    for (size_t i = 0; i < space->count; i++)
        if (moved[i] != (space->rows[i].gain > 0)) case_fail(p, "%s: not by its own gain", space->rows[i].key);
}

static void run_as_written(parity *p, const char *file_name)
{
    static const struct {
        const char *key;
        void (*run)(parity *p, const hyp_space *space);
    } kinds[] = {{"print_mutation_with_optimizer_key", run_optimizer_key},
                 {"mutate_19_keys_with_18_gains", run_gains_by_key}};
    static const char *const known[] = {"exception", "message", NULL};
    char path[512], version[64];
    snprintf(path, sizeof path, "evolve/%s", file_name);
    snprintf(version, sizeof version, "%.*s", (int)strcspn(file_name + strlen("as_written_"), "."),
             file_name + strlen("as_written_"));
    const yaml_node *file = parity_json(p, path);
    for (size_t i = 0; file && i < file->count; i++) {
        const char *key = yaml_string(&file->keys[i]);
        case_start(p, "evolve/as_written %s %s", version, key);
        check_keys(p, &file->items[i], known);
        size_t k = 0, count = sizeof kinds / sizeof *kinds;
        while (k < count && strcmp(kinds[k].key, key)) k++;
        hyp_space space;
        if (k == count) case_fail(p, "unknown kind of case");
        else if (find_version(p, version, &space)) kinds[k].run(p, &space);
        case_end(p);
    }
}

/* ---- print_mutation ---- */

/* The space whose keys these are, in this order. */
static bool find_space(parity *p, const yaml_node *hyp, hyp_space *space)
{
    for (size_t v = 0; v < VERSIONS; v++) {
        versions[v].make(space);
        size_t same = 0;
        while (same < hyp->count && same < space->count &&
               !strcmp(yaml_string(&hyp->keys[same]), space->rows[same].key))
            same++;
        if (same == hyp->count && same == space->count) return true;
    }
    case_fail(p, "no version has these hyperparameters");
    return false;
}

static void check_file(parity *p, const char *folder, const char *name, status made, const text *got)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    size_t length;
    const char *want = parity_text(p, path, &length);
    if (want && case_ok(p, name, made)) case_text(p, name, text_string(got), got->length, want, length);
}

static bool read_input(parity *p, const char *folder, const yaml_node *input, population *rows, member *m)
{
    static const char *const known[] = {"hyp", "results", "evolve_before", NULL};
    check_keys(p, input, known);
    size_t count;
    const double *results = json_numbers(p, json_get(p, input, "results"), &count);
    if (!case_int(p, "results", (int64_t)count, RESULT_COUNT)) return false;
    memcpy(m->results, results, sizeof m->results);
    const yaml_node *hyp = json_get(p, input, "hyp");
    for (size_t i = 0; i < rows->space->count; i++) m->hyps[i] = json_double(p, hyp, rows->space->rows[i].key);
    char before[512];
    snprintf(before, sizeof before, "%s/evolve_before.txt", folder);
    bool there = json_bool(p, input, "evolve_before");
    if (there != parity_has(p, before)) case_fail(p, "evolve_before is %s", there ? "missing" : "not mentioned");
    parity_use(p, before);
    return !there || case_ok(p, before, population_import(rows, parity_path(p, before)));
}

static void run_print_mutation(parity *p, const char *name)
{
    char folder[256], path[512];
    snprintf(folder, sizeof folder, "evolve/%s", name);
    snprintf(path, sizeof path, "%s/input.json", folder);
    const yaml_node *input = parity_json(p, path), *hyp = input ? json_get(p, input, "hyp") : NULL;
    hyp_space space;
    if (!hyp || !find_space(p, hyp, &space)) return;
    population rows;
    population_start(&rows, &space, fitness_weights_default);
    member m = {.candidate = 1};
    text out = {0};
    if (read_input(p, folder, input, &rows, &m) && case_ok(p, "row", population_add(&rows, &m))) {
        check_file(p, folder, "evolve_after.txt", population_evolve_txt(&rows, &out), &out);
        text_clear(&out);
        check_file(p, folder, "hyp_evolved.yaml", population_hyp_evolved(&rows, &out), &out);
        text_clear(&out);
        check_file(p, folder, "stdout.txt", population_console(&rows, &m, &out), &out);
    }
    text_free(&out);
    population_free(&rows);
}

void parity_evolve(parity *p)
{
    const yaml_node *file = parity_json(p, "evolve/cases.json"), *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        case_start(p, "evolve/%s", json_string(p, &cases->items[i], "case"));
        run_generation(p, &cases->items[i]);
        case_end(p);
    }
    file = parity_json(p, "evolve/meta.json");
    for (size_t i = 0; file && i < file->count; i++) {
        case_start(p, "evolve/meta %s", yaml_string(&file->keys[i]));
        run_meta(p, yaml_string(&file->keys[i]), &file->items[i]);
        case_end(p);
    }
    const fs_names *names = parity_list(p, "evolve");
    for (size_t i = 0; i < names->count; i++) {
        if (text_starts_with(names->names[i], "as_written_")) run_as_written(p, names->names[i]);
        if (!text_starts_with(names->names[i], "print_mutation_")) continue;
        case_start(p, "evolve/%s", names->names[i]);
        run_print_mutation(p, names->names[i]);
        case_end(p);
    }
}
