/* formats/: number formats, YAML, results.txt and the names of run folders. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/text.h"
#include "tests/parity/formats_shared.h"
#include "worker/train/run_folder.h"

/* ---- YAML files of a run: read and written again ---- */

static void run_yaml_file(parity *p, const char *path)
{
    size_t length;
    const char *want = parity_text(p, path, &length);
    yaml *file;
    if (!want || !case_ok(p, path, yaml_parse(path, want, length, &file))) return;
    text out = {0};
    yaml_write(&out, yaml_root(file));
    if (case_ok(p, path, text_status(&out))) case_text(p, path, text_string(&out), out.length, want, length);
    text_free(&out);
    yaml_destroy(&file);
}

/* hyp.yaml also goes through the table of hyperparameters, as every training reads and writes it. */
static void run_hyp(parity *p, const char *path)
{
    size_t length;
    const char *want = parity_text(p, path, &length);
    hyp_space space;
    hyp_space_default(&space);
    double values[HYP_MAX];
    if (!want || !case_ok(p, path, hyp_read(parity_path(p, path), &space, values))) return;
    text out = {0};
    hyp_write(&out, &space, values);
    if (case_ok(p, path, text_status(&out))) case_text(p, path, text_string(&out), out.length, want, length);
    text_free(&out);
    run_yaml_file(p, path);
}

/* ---- yaml_values: a list in JSON, and what yaml.dump made of it under the keys v0, v1, ... ---- */

/* JSON has numbers that YAML 1.1 takes for strings (1e-05); a quoted one is a string in both. */
static void as_json(yaml_node *node, const char *json)
{
    char quoted[128];
    double value;
    if (node->kind != YAML_STRING || !text_to_double(node->scalar, &value)) return;
    snprintf(quoted, sizeof quoted, "\"%s\"", node->scalar);
    if (strstr(json, quoted)) return;
    node->kind = YAML_FLOAT;
    node->number = value;
}

static void run_yaml_values(parity *p)
{
    size_t length, json_length;
    const char *json = parity_text(p, "formats/yaml_values.json", &json_length);
    const char *want = parity_text(p, "formats/yaml_values.yaml", &length);
    const yaml_node *list = parity_json(p, "formats/yaml_values.json");
    if (!json || !want || !list) return;
    text out = {0};
    for (size_t i = 0; i < list->count; i++) {
        char key[32];
        snprintf(key, sizeof key, "v%zu", i);
        yaml_node name = {.kind = YAML_STRING, .scalar = key}, value = list->items[i];
        as_json(&value, json);
        yaml_write(&out, &(yaml_node){.kind = YAML_MAP, .count = 1, .keys = &name, .items = &value});
    }
    if (case_ok(p, "yaml_values", text_status(&out)))
        case_text(p, "yaml_values", text_string(&out), out.length, want, length);
    text_free(&out);
    run_yaml_file(p, "formats/yaml_values.yaml");
}

/* ---- printf ---- */

/* The width and precision of "%10.4g" or "%g"; false for any other format. */
static bool read_format(const char *format, int *width, int *precision)
{
    char *end = (char *)format + 1;
    *width = 0;
    *precision = -1;
    if (*format != '%') return false;
    if (*end >= '1' && *end <= '9') *width = (int)strtol(end, &end, 10);
    if (*end == '.') *precision = (int)strtol(end + 1, &end, 10);
    return !strcmp(end, "g") && *width < 100 && *precision < 100;
}

static void run_printf(parity *p)
{
    const yaml_node *file = parity_json(p, "formats/printf.json");
    if (!file) return;
    size_t count;
    const double *values = json_numbers(p, json_get(p, file, "values"), &count);
    for (size_t i = 0; i < file->count; i++) {
        const char *format = yaml_string(&file->keys[i]);
        const yaml_node *want = &file->items[i];
        int width, precision;
        if (!strcmp(format, "values")) continue;
        if (!read_format(format, &width, &precision)) case_fail(p, "unknown format \"%s\"", format);
        else if (case_int(p, format, (int64_t)want->count, (int64_t)count))
            for (size_t k = 0; k < count; k++) {
                char got[128];
                snprintf(got, sizeof got, "%*.*g", width, precision, values[k]);
                const char *expected = yaml_string(&want->items[k]);
                case_text(p, format, got, strlen(got), expected, strlen(expected));
            }
    }
}

/* ---- results.txt ---- */

bool formats_row(parity *p, const yaml_node *input, int64_t epoch, results_row *row)
{
    const yaml_node *losses = json_get(p, input, "loss_items_per_batch"),
                    *metrics = json_get(p, input, "results_per_epoch");
    loss_means means = {0};
    size_t count;
    if (!losses || !metrics || epoch >= (int64_t)losses->count || epoch >= (int64_t)metrics->count) return false;
    const yaml_node *batches = &losses->items[epoch];
    *row = (results_row){.epoch = epoch, .epochs = json_int(p, input, "epochs")};
    for (size_t b = 0; b < batches->count; b++) {
        const double *items = json_numbers(p, &batches->items[b], &count);
        float rounded[LOSS_ITEMS];
        if (!case_int(p, "loss items", (int64_t)count, LOSS_ITEMS)) return false;
        for (int k = 0; k < LOSS_ITEMS; k++) rounded[k] = (float)items[k];
        loss_means_add(&means, rounded);
    }
    memcpy(row->losses, means.items, sizeof row->losses);
    row->targets = json_int(p, input, "targets_in_last_batch");
    row->img_size = json_int(p, input, "img_width_of_last_batch");
    char *end;
    const char *memory = json_string(p, input, "gpu_mem");
    row->memory_gb = strtod(memory, &end);
    if (strcmp(end, "G")) case_fail(p, "gpu_mem is \"%s\"", memory);
    const double *values = json_numbers(p, &metrics->items[epoch], &count);
    if (!case_int(p, "metrics", (int64_t)count, RESULT_COUNT)) return false;
    memcpy(row->metrics, values, sizeof row->metrics);
    return case_int(p, "batches_per_epoch", (int64_t)batches->count, json_int(p, input, "batches_per_epoch"));
}

/* What is read back prints the same line again: a resumed training goes on from it. */
static void check_read_back(parity *p, const char *path)
{
    size_t length, count;
    const char *want = parity_text(p, path, &length);
    results_row *rows;
    if (!want || !case_ok(p, path, results_read(parity_path(p, path), &rows, &count))) return;
    text out = {0};
    for (size_t i = 0; i < count; i++) results_add_line(&out, &rows[i]);
    if (case_ok(p, path, text_status(&out))) case_text(p, "read back", text_string(&out), out.length, want, length);
    text_free(&out);
    free(rows);
}

static void run_results(parity *p)
{
    static const char *const known[] =
        {"epochs",  "batches_per_epoch", "loss_items_per_batch", "targets_in_last_batch", "img_width_of_last_batch",
         "gpu_mem", "results_per_epoch"};
    const yaml_node *input = parity_json(p, "formats/results_input.json");
    size_t length;
    const char *want = parity_text(p, "formats/results.txt", &length);
    if (!input || !want) return;
    for (size_t i = 0; i < input->count; i++) {
        size_t k = 0, keys = sizeof known / sizeof *known;
        while (k < keys && strcmp(known[k], yaml_string(&input->keys[i]))) k++;
        if (k == keys) case_fail(p, "unknown key \"%s\"", yaml_string(&input->keys[i]));
    }
    const yaml_node *losses = json_get(p, input, "loss_items_per_batch"),
                    *metrics = json_get(p, input, "results_per_epoch");
    int64_t epochs = json_int(p, input, "epochs");
    if (!losses || !metrics || !case_int(p, "epochs", (int64_t)losses->count, epochs)) return;
    if (!case_int(p, "epochs", (int64_t)metrics->count, epochs)) return;
    text out = {0};
    results_row row;
    for (int64_t e = 0; e < epochs && formats_row(p, input, e, &row); e++) results_add_line(&out, &row);
    if (case_ok(p, "results.txt", text_status(&out)))
        case_text(p, "results.txt", text_string(&out), out.length, want, length);
    text_free(&out);
    check_read_back(p, "formats/results.txt");
}

/* ---- increment_dir ---- */

/* What is asked for where the reference raised an exception: the largest number + 1, names without one ignored. */
static long long mended_number(const yaml_node *existing)
{
    long long next = 0;
    bool any = false;
    for (size_t i = 0; i < existing->count; i++) {
        const char *name = yaml_string(&existing->items[i]);
        char *end;
        if (!text_starts_with(name, "exp")) continue;
        long long number = strtoll(name + 3, &end, 10);
        if (end == name + 3 || (*end && *end != '_')) continue;
        if (!any || number >= next) next = number + 1;
        any = true;
    }
    return next;
}

static void expected_path(parity *p, const yaml_node *entry, const char *logdir, const char *comment, text *want)
{
    if (yaml_get(entry, "result")) text_add(want, "%s", json_string(p, entry, "result"));
    else if (json_get(p, entry, "exception"))
        text_add(want, *comment ? "%s/exp%lld_%s" : "%s/exp%lld", logdir, mended_number(json_get(p, entry, "existing")),
                 comment);
}

static void run_increment(parity *p, const yaml_node *entry, const char *scratch)
{
    const char *logdir = json_string(p, entry, "logdir"), *comment = json_string(p, entry, "comment");
    const yaml_node *existing = json_get(p, entry, "existing");
    char *below = path_join(scratch, logdir), *made = NULL;
    status s = below ? fs_make_folders(below, 0777) : FAIL(ERR_MEMORY, "out of memory");
    for (size_t i = 0; s == OK && existing && i < existing->count; i++) {
        char *path = path_join(below, yaml_string(&existing->items[i]));
        s = path ? fs_make_folders(path, 0777) : FAIL(ERR_MEMORY, "out of memory");
        free(path);
    }
    if (s == OK) s = run_folder_make(below, comment, &made);
    if (existing && case_ok(p, logdir, s)) {
        text want = {0};
        expected_path(p, entry, logdir, comment, &want);
        const char *got = made + strlen(scratch) + 1; /* as if the scratch folder were the working directory */
        case_text(p, "run folder", got, strlen(got), text_string(&want), want.length);
        if (!fs_is_folder(made)) case_fail(p, "%s was not made", got);
        text_free(&want);
    }
    free(made);
    free(below);
}

static void run_increment_cases(parity *p)
{
    static const char *const known[] = {"logdir", "existing", "comment", "result", "exception", "message"};
    const yaml_node *file = parity_json(p, "formats/increment_dir.json"),
                    *cases = file ? json_get(p, file, "cases") : NULL;
    for (size_t i = 0; cases && i < cases->count; i++) {
        const yaml_node *entry = &cases->items[i];
        case_start(p, "formats/increment_dir %zu", i);
        for (size_t n = 0; n < entry->count; n++) {
            size_t k = 0, keys = sizeof known / sizeof *known;
            while (k < keys && strcmp(known[k], yaml_string(&entry->keys[n]))) k++;
            if (k == keys) case_fail(p, "unknown key \"%s\"", yaml_string(&entry->keys[n]));
        }
        char scratch[512];
        snprintf(scratch, sizeof scratch, "%s/increment%zu", parity_scratch(p), i);
        run_increment(p, entry, scratch);
        case_end(p);
    }
}

/* One case for a file (and what belongs to it). */
static void run_file(parity *p, const char *name, void (*run)(parity *p))
{
    case_start(p, "formats/%s", name);
    run(p);
    case_end(p);
}

static void run_hyp_yaml(parity *p)
{
    run_hyp(p, "formats/hyp.yaml");
}

static void run_opt_yaml(parity *p)
{
    run_yaml_file(p, "formats/opt.yaml");
}

void parity_formats(parity *p)
{
    run_file(p, "hyp.yaml", run_hyp_yaml);
    run_file(p, "opt.yaml", run_opt_yaml);
    run_file(p, "yaml_values", run_yaml_values);
    run_file(p, "printf", run_printf);
    run_file(p, "results.txt", run_results);
    run_increment_cases(p);
    run_file(p, "tensorboard.json", formats_run_tensorboard);
}
