#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/data_yaml.h"
#include "common/text.h"
#include "common/words.h"
#include "common/yaml.h"
#include "worker/external_inner.h"

extern char **environ;

typedef struct writer {
    const external_options *o;
    const trainer_message *start;
    external_job *job;
    char *folder; /* absolute, so that the command may go elsewhere */
    train_options options;
} writer;

/* ---- variables ---- */

static status add_variable(writer *w, const char *name, const char *value)
{
    text line = {0};
    text_add(&line, "MENDEL_%s=%s", name, value);
    status s = text_status(&line);
    if (s == OK) s = fs_names_add(&w->job->environment, text_string(&line));
    text_free(&line);
    return s;
}

/* Those of this process, but for what an outer worker may have set. */
static status inherit(writer *w)
{
    for (char **line = environ; *line; line++)
        if (!text_starts_with(*line, "MENDEL_") || text_starts_with(*line, "MENDEL_LOG="))
            TRY(fs_names_add(&w->job->environment, *line));
    return OK;
}

/* FOLDER/name, as the value of a variable; "" in the place of what is not there. */
static status add_file(writer *w, const char *variable, const char *name)
{
    char *path = name ? path_join(w->folder, name) : text_copy("");
    status s = path ? add_variable(w, variable, path) : FAIL(ERR_MEMORY, "out of memory");
    free(path);
    return s;
}

static bool is_text(const option_row *row)
{
    return row->type == OPTION_STRING || row->type == OPTION_MAYBE;
}

/* Numbers and choices as they are written, flags as 1 or nothing: ${MENDEL_ADAM:+--adam}. Texts are not handed on as such. */
static status add_options(writer *w)
{
    for (size_t i = 0; i < TRAIN_ROWS; i++) {
        const option_row *row = &train_rows[i];
        char key[OPTION_KEY_ROOM];
        text value = {0};
        if (is_text(row)) continue;
        options_key(row, key);
        for (char *c = key; *c; c++) *c = (char)toupper((unsigned char)*c);
        if (row->type != OPTION_FLAG) options_get(row, &w->options, &value);
        else text_add(&value, "%s", *(const bool *)((const char *)&w->options + row->offset) ? "1" : "");
        status s = text_status(&value);
        if (s == OK) s = add_variable(w, key, text_string(&value));
        text_free(&value);
        if (s != OK) return s;
    }
    return OK;
}

static status make_environment(writer *w)
{
    TRY(inherit(w));
    TRY(add_variable(w, "FOLDER", w->folder));
    TRY(add_variable(w, "RESULTS", w->job->results));
    TRY(add_file(w, "HYP", "hyp.yaml"));
    TRY(add_file(w, "OPT", "opt.yaml"));
    TRY(add_file(w, "DATA", *w->start->data ? "data.yaml" : NULL));
    TRY(add_file(w, "CFG", *w->start->model ? "model.yaml" : NULL));
    TRY(add_variable(w, "WEIGHTS", w->options.weights));
    TRY(add_variable(w, "KEEP", w->start->path ? w->start->path : ""));
    TRY(add_variable(w, "DEVICE", w->o->device));
    return add_options(w);
}

/* ---- files ---- */

static status write_file(const writer *w, const char *name, const text *contents)
{
    char *path = path_join(w->folder, name);
    status s = path ? text_status(contents) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = fs_write(path, text_string(contents), contents->length);
    free(path);
    return s;
}

static status write_hyps(const writer *w)
{
    hyp_space space = {.digits = -1};
    double values[HYP_MAX];
    text yaml = {0};
    TRY(map_unpack_any_hyps(w->start->hyps.data, w->start->hyps.count, &space, values));
    hyp_write(&yaml, &space, values);
    status s = write_file(w, "hyp.yaml", &yaml);
    text_free(&yaml);
    return s;
}

static status write_options(const writer *w)
{
    text yaml = {0};
    options_write_yaml(train_rows, TRAIN_ROWS, &w->options, &yaml);
    status s = write_file(w, "opt.yaml", &yaml);
    text_free(&yaml);
    return s;
}

/* Absolute, but with its links as they are: where labels are is read off a picture's path. */
static char *absolute(const char *path)
{
    char *here = *path == '/' ? NULL : path_real(".");
    char *whole = *path == '/' ? text_copy(path) : here ? path_join(here, path) : NULL;
    free(here);
    return whole;
}

static status add_sources(text *yaml, const char *key, const fs_names *sources)
{
    if (!sources->count) return OK;
    text_add(yaml, sources->count == 1 ? "%s: " : "%s:\n", key);
    for (size_t i = 0; i < sources->count; i++) {
        char *path = absolute(sources->names[i]);
        if (!path) return FAIL(ERR_MEMORY, "out of memory");
        if (sources->count > 1) text_add(yaml, "- ");
        yaml_write_string(yaml, path);
        text_add(yaml, "\n");
        free(path);
    }
    return OK;
}

/* The run's data yaml with its paths as they are here. */
static status write_data(const writer *w)
{
    static const char *const keys[DATA_SPLITS] = {"train", "val", "test"};
    data_yaml d;
    text yaml = {0};
    TRY(data_yaml_parse("the run's data yaml", w->start->data, w->start->data_root, &d));
    status s = OK;
    for (int split = 0; s == OK && split < DATA_SPLITS; split++) s = add_sources(&yaml, keys[split], &d.sources[split]);
    text_add(&yaml, "nc: %d\nnames:\n", d.classes);
    for (int i = 0; i < d.classes; i++) {
        text_add(&yaml, "- ");
        yaml_write_string(&yaml, d.names[i]);
        text_add(&yaml, "\n");
    }
    if (s == OK) s = write_file(w, "data.yaml", &yaml);
    text_free(&yaml);
    data_yaml_free(&d);
    return s;
}

static status write_model(const writer *w)
{
    text yaml = {0};
    text_add(&yaml, "%s", w->start->model);
    status s = write_file(w, "model.yaml", &yaml);
    text_free(&yaml);
    return s;
}

/* ---- the job ---- */

static status read_options(writer *w)
{
    const trainer_message *m = w->start;
    TRY(map_unpack_options(m->options.data, m->options.count, train_rows, TRAIN_ROWS, &w->options, NULL));
    w->options.threads = w->o->threads;
    w->options.seed = m->seed;
    w->job->epochs = w->options.epochs;
    return OK;
}

static status write_job(writer *w, trainer_reason *reason)
{
    *reason = REASON_ERROR;
    TRY(words_split(w->o->command, &w->job->words));
    TRY(words_find_program(w->job->words.names[0], &w->job->program));
    TRY(fs_make_folders(w->start->folder, 0777));
    w->folder = path_real(w->start->folder);
    w->job->results = w->folder ? path_join(w->folder, "results.txt") : NULL;
    if (!w->job->results) return FAIL(ERR_IO, "cannot open the folder %s", w->start->folder);
    *reason = REASON_REFUSED;
    TRY(read_options(w));
    TRY(write_hyps(w));
    *reason = REASON_DATA;
    if (*w->start->data) TRY(write_data(w));
    *reason = REASON_ERROR;
    if (*w->start->model) TRY(write_model(w));
    TRY(write_options(w));
    TRY(fs_remove(w->job->results));
    return make_environment(w);
}

status external_job_make(const external_options *o, const trainer_message *start, external_job *out,
                         trainer_reason *reason)
{
    writer w = {.o = o, .start = start, .job = out};
    option_section section = train_section(&w.options, NULL);
    *out = (external_job){0};
    status s = options_defaults(&section, 1);
    if (s == OK) s = write_job(&w, reason);
    options_free(&section, 1);
    free(w.folder);
    return s;
}

void external_job_free(external_job *j)
{
    fs_names_free(&j->words);
    fs_names_free(&j->environment);
    free(j->program);
    free(j->results);
    *j = (external_job){0};
}
