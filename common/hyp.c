#include "common/hyp.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/decimal.h"
#include "common/text.h"
#include "common/yaml.h"

#define HYP_AS_ROW(key, ...) {#key, __VA_ARGS__},
static const hyp_row default_rows[HYP_COUNT] = {HYP_SPACE(HYP_AS_ROW)};

const double fitness_weights_default[FITNESS_TERMS] = {0.0, 0.0, 0.1, 0.9};

double fitness(const double *results, const double weights[FITNESS_TERMS])
{
    double sum = 0;
    for (int i = 0; i < FITNESS_TERMS; i++) sum += results[i] * weights[i];
    return sum;
}

/* ---- the spaces ---- */

void hyp_space_default(hyp_space *space)
{
    *space = (hyp_space){.count = HYP_COUNT, .digits = 5};
    memcpy(space->rows, default_rows, sizeof default_rows);
}

/* What 2020-07-20 has of its own. Its gains are a list beside the dictionary, paired by position; its limits name nine
 * keys; its defaults are built into train.py. lrf, perspective, flips and mix-up came later. */
static const struct {
    const char *key;
    double gain, low, high, start;
} rows_2020_07_20[] = {
    {"lr0", 1, 1e-5, 1e-2, 0.01},
    {"momentum", 1, 0.6, 0.98, 0.937},
    {"weight_decay", 1, 0, 0.001, 5e-4},
    {"giou", 1, -INFINITY, INFINITY, 0.05},
    {"cls", 1, -INFINITY, INFINITY, 0.58},
    {"cls_pw", 1, -INFINITY, INFINITY, 1.0},
    {"obj", 1, -INFINITY, INFINITY, 1.0},
    {"obj_pw", 0, -INFINITY, INFINITY, 1.0},
    {"iou_t", 0.1, 0, 0.7, 0.2},
    {"anchor_t", 1, -INFINITY, INFINITY, 4.0},
    {"fl_gamma", 0, 0, 3, 0.0},
    {"hsv_h", 1, -INFINITY, INFINITY, 0.014},
    {"hsv_s", 1, 0, 0.9, 0.68},
    {"hsv_v", 1, 0, 0.9, 0.36},
    {"degrees", 1, -INFINITY, INFINITY, 0.0},
    {"translate", 1, 0, 0.9, 0.0},
    {"scale", 1, 0, 0.9, 0.5},
    {"shear", 1, -INFINITY, INFINITY, 0.0},
};

void hyp_space_2020_07_20(hyp_space *space)
{
    *space = (hyp_space){.count = sizeof rows_2020_07_20 / sizeof *rows_2020_07_20, .digits = -1};
    hyp_space later;
    hyp_space_default(&later);
    for (size_t i = 0; i < space->count; i++) {
        hyp_row *row = &space->rows[i];
        *row = later.rows[hyp_find(&later, rows_2020_07_20[i].key)];
        row->gain = rows_2020_07_20[i].gain;
        row->low = rows_2020_07_20[i].low;
        row->high = rows_2020_07_20[i].high;
        row->scratch = row->finetune = rows_2020_07_20[i].start;
    }
}

void hyp_fix_2020_07_20(double *values)
{
    values[HYP_lrf] = 0.1;
    values[HYP_perspective] = values[HYP_flipud] = values[HYP_mixup] = 0;
    values[HYP_fliplr] = 0.5;
}

int hyp_find(const hyp_space *space, const char *key)
{
    for (size_t i = 0; i < space->count; i++)
        if (!strcmp(space->rows[i].key, key)) return (int)i;
    return -1;
}

static status read_space_row(const yaml *file, const yaml_node *key, const yaml_node *value, hyp_row *row)
{
    const char *name = yaml_string(key);
    if (!name || !*name || strlen(name) >= HYP_KEY_ROOM)
        return yaml_fail(file, key, "a hyperparameter's name of 1 to %d letters was expected", HYP_KEY_ROOM - 1);
    memcpy(row->key, name, strlen(name) + 1);
    double numbers[4];
    if (value->kind == YAML_LIST) {
        if (value->count != 3) return yaml_fail(file, value, "%s: [gain, low, high] was expected", name);
        for (size_t i = 0; i < 3; i++) TRY(yaml_need_double(file, &value->items[i], name, &numbers[i]));
        numbers[3] = NAN;
    } else {
        static const char *const fields[] = {"gain", "low", "high", "start"};
        if (value->kind != YAML_MAP) return yaml_fail(file, value, "%s: [gain, low, high] was expected", name);
        for (size_t i = 0; i < 4; i++) {
            const yaml_node *field = yaml_get(value, fields[i]);
            if (!field) return yaml_fail(file, value, "%s: %s is missing", name, fields[i]);
            TRY(yaml_need_double(file, field, fields[i], &numbers[i]));
        }
    }
    row->gain = numbers[0];
    row->low = row->valid_low = numbers[1];
    row->high = row->valid_high = numbers[2];
    row->scratch = row->finetune = isnan(numbers[3]) ? numbers[1] + (numbers[2] - numbers[1]) / 2 : numbers[3];
    row->meaning = "";
    if (!(row->gain >= 0) || !(row->low <= row->high) || !(row->scratch >= row->low && row->scratch <= row->high))
        return yaml_fail(file, value, "%s: gain >= 0 and low <= start <= high were expected", name);
    return OK;
}

status hyp_space_read(const char *path, hyp_space *space)
{
    *space = (hyp_space){.digits = 5};
    yaml *file;
    TRY(yaml_read(path, &file));
    const yaml_node *root = yaml_root(file);
    status s = OK;
    if (root->kind != YAML_MAP || root->count == 0)
        s = yaml_fail(file, root, "a map of hyperparameters to [gain, low, high] was expected");
    else if (root->count > HYP_MAX) s = yaml_fail(file, root, "more than %d hyperparameters", HYP_MAX);
    for (size_t i = 0; s == OK && i < root->count; i++) {
        s = read_space_row(file, &root->keys[i], &root->items[i], &space->rows[i]);
        space->count = i + 1;
    }
    yaml_destroy(&file);
    return s;
}

/* ---- values ---- */

static status read_optimizer(const yaml *file, const yaml_node *value, bool *adam)
{
    const char *name = value->kind == YAML_NULL ? "SGD" : yaml_string(value);
    bool sgd = name && (!strcasecmp(name, "SGD") || !strcmp(name, "None"));
    *adam = name && !strcasecmp(name, "adam");
    if (sgd || *adam) return OK;
    return yaml_fail(file, value, "optimizer: 'SGD', 'adam' or nothing was expected");
}

/* `adam` NULL: every key is needed, and the optimizer is none. */
static status read_values(const yaml *file, const hyp_space *space, double *values, bool *adam)
{
    const yaml_node *root = yaml_root(file);
    bool seen[HYP_MAX] = {false};
    if (adam && root->kind == YAML_NULL) return OK; /* an empty file changes nothing */
    if (root->kind != YAML_MAP) return yaml_fail(file, root, "a map of hyperparameters was expected");
    for (size_t i = 0; i < root->count; i++) {
        const char *key = yaml_string(&root->keys[i]);
        int row = key ? hyp_find(space, key) : -1;
        if (adam && key && !strcmp(key, "optimizer")) {
            TRY(read_optimizer(file, &root->items[i], adam));
            continue;
        }
        if (row < 0) return yaml_fail(file, &root->keys[i], "unknown hyperparameter '%s'", key ? key : "?");
        if (seen[row]) return yaml_fail(file, &root->keys[i], "%s stands here twice", key);
        seen[row] = true;
        TRY(yaml_need_double(file, &root->items[i], key, &values[row]));
        const hyp_row *r = &space->rows[row];
        if (!(values[row] >= r->valid_low && values[row] <= r->valid_high))
            return yaml_fail(file, &root->items[i], "%s is %g, expected %g to %g", key, values[row], r->valid_low,
                             r->valid_high);
    }
    for (size_t row = 0; !adam && row < space->count; row++)
        if (!seen[row]) return yaml_fail(file, root, "hyperparameter '%s' is missing", space->rows[row].key);
    return OK;
}

static status read_file(const char *path, const hyp_space *space, double *values, bool *adam)
{
    yaml *file;
    TRY(yaml_read(path, &file));
    status s = read_values(file, space, values, adam);
    yaml_destroy(&file);
    return s;
}

bool hyp_key_is_plain(const char *key)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = strlen(key);
    bool begins = isalpha((unsigned char)*key) || *key == '_';
    return begins && length < HYP_KEY_ROOM && strspn(key, letters) == length;
}

hyp_row *hyp_add_row(hyp_space *space, const char *key)
{
    if (space->count == HYP_MAX) return NULL;
    hyp_row *row = &space->rows[space->count++];
    *row = (hyp_row){.low = -INFINITY, .high = INFINITY, .valid_low = -INFINITY, .valid_high = INFINITY, .meaning = ""};
    memcpy(row->key, key, strlen(key) + 1);
    return row;
}

static status read_any(const yaml *file, hyp_space *space, double *values)
{
    const yaml_node *root = yaml_root(file);
    if (root->kind != YAML_MAP || !root->count) return yaml_fail(file, root, "a map of hyperparameters was expected");
    for (size_t i = 0; i < root->count; i++) {
        const yaml_node *at = &root->keys[i];
        const char *key = yaml_string(at);
        if (space->count == HYP_MAX) return yaml_fail(file, at, "more than %d hyperparameters", HYP_MAX);
        if (!key || !hyp_key_is_plain(key))
            return yaml_fail(file, at, "a key of letters, digits, _, - and . was expected, found '%s'",
                             key ? key : "?");
        if (hyp_find(space, key) >= 0) return yaml_fail(file, at, "%s stands here twice", key);
        TRY(yaml_need_double(file, &root->items[i], key, &values[space->count]));
        if (!isfinite(values[space->count])) return yaml_fail(file, &root->items[i], "%s is not finite", key);
        hyp_add_row(space, key);
    }
    return OK;
}

status hyp_read_any(const char *path, hyp_space *space, double *values)
{
    *space = (hyp_space){.digits = -1};
    yaml *file;
    TRY(yaml_read(path, &file));
    status s = read_any(file, space, values);
    yaml_destroy(&file);
    return s;
}

status hyp_read(const char *path, const hyp_space *space, double *values)
{
    return read_file(path, space, values, NULL);
}

status hyp_read_over(const char *path, const hyp_space *space, double *values, bool *adam)
{
    return read_file(path, space, values, adam);
}

status hyp_parse(const char *name, const char *yaml_text, const hyp_space *space, double *values)
{
    yaml *file;
    TRY(yaml_parse(name, yaml_text, strlen(yaml_text), &file));
    status s = read_values(file, space, values, NULL);
    yaml_destroy(&file);
    return s;
}

status hyp_check(const hyp_space *space, const double *values)
{
    for (size_t i = 0; i < space->count; i++) {
        const hyp_row *r = &space->rows[i];
        if (!(values[i] >= r->valid_low && values[i] <= r->valid_high))
            return FAIL(ERR_RANGE, "hyperparameter %s is %g, expected %g to %g", r->key, values[i], r->valid_low,
                        r->valid_high);
    }
    return OK;
}

void hyp_defaults(const hyp_space *space, bool finetune, double *values)
{
    for (size_t i = 0; i < space->count; i++) values[i] = finetune ? space->rows[i].finetune : space->rows[i].scratch;
}

void hyp_write(struct text *out, const hyp_space *space, const double *values)
{
    for (size_t i = 0; i < space->count; i++) {
        text_add(out, "%s: ", space->rows[i].key);
        yaml_write_double(out, values[i]);
        text_add(out, "\n");
    }
}

void hyp_constrain(const hyp_space *space, double *values)
{
    for (size_t i = 0; i < space->count; i++) {
        const hyp_row *row = &space->rows[i];
        if (values[i] < row->low) values[i] = row->low; /* comparisons with NaN are false, so it passes unchanged */
        if (values[i] > row->high) values[i] = row->high;
        values[i] = decimal_round(values[i], space->digits);
    }
}
