#include "worker/start.h"

#include <string.h>

#include "common/hyp.h"
#include "common/text.h"
#include "common/train_options.h"

/* ---- hyps ---- */

/* The run's base with the candidate's values in the place of its own. */
static status merge_hyps(const Mendel__Welcome *run, const Mendel__Candidate *candidate, bytes *out)
{
    hyp_space space;
    double values[HYP_MAX];
    metrics own;
    hyp_space_default(&space);
    TRY(map_unpack_hyps(run->base_hyps.data, run->base_hyps.len, &space, values));
    TRY(map_unpack_metrics(candidate->hyps.data, candidate->hyps.len, &own));
    for (size_t i = 0; i < own.count; i++) {
        int row = hyp_find(&space, own.item[i].key);
        if (row < 0) return FAIL(ERR_PROTOCOL, "unknown hyperparameter '%s'", own.item[i].key);
        values[row] = own.item[i].value;
    }
    TRY(hyp_check(&space, values));
    return map_pack_hyps(&space, values, out);
}

/* The same for a trainer whose hyps nobody here knows: every plain key, a finite number each. */
static status merge_any_hyps(const Mendel__Welcome *run, const Mendel__Candidate *candidate, bytes *out)
{
    hyp_space space = {.digits = -1};
    double values[HYP_MAX];
    TRY(map_unpack_any_hyps(run->base_hyps.data, run->base_hyps.len, &space, values));
    TRY(map_unpack_any_hyps(candidate->hyps.data, candidate->hyps.len, &space, values));
    return map_pack_hyps(&space, values, out);
}

/* ---- options ---- */

/* May the run say it? Numbers and choices are checked by their table; of the texts, which may name files, only those
 * that are known to be harmless. Devices and threads are this machine's. */
static bool is_the_runs(const option_row *row)
{
    static const char *const harmless[] = {"freeze"};
    if (!strcmp(row->name, "threads")) return false;
    if (row->type != OPTION_STRING && row->type != OPTION_MAYBE) return true;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strcmp(row->name, harmless[i])) return true;
    return false;
}

static status set(train_options *o, const char *name, const char *value)
{
    return options_set(options_find(train_rows, TRAIN_ROWS, name), o, value, name);
}

static status set_number(train_options *o, const char *name, int64_t value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    return set(o, name, digits);
}

static status read_options(const Mendel__Welcome *run, const Mendel__Candidate *candidate, const start_place *place,
                           train_options *o)
{
    TRY(map_unpack_options(run->options.data, run->options.len, train_rows, TRAIN_ROWS, o, is_the_runs));
    TRY(set(o, "weights", place->weights));
    TRY(set(o, "cfg", *run->model_yaml ? run->model_name : "")); /* a name for messages: nothing opens it */
    TRY(set(o, "data", ""));
    TRY(set(o, "logdir", place->folder));
    TRY(set(o, "device", place->device));
    TRY(set_number(o, "threads", place->threads));
    return set_number(o, "seed", candidate->seed);
}

static status make_options(const Mendel__Welcome *run, const Mendel__Candidate *candidate, const start_place *place,
                           bytes *out)
{
    train_options o = {0};
    option_section section = train_section(&o, NULL);
    status s = options_defaults(&section, 1);
    if (s == OK) s = read_options(run, candidate, place, &o);
    if (s == OK) s = map_pack_options(train_rows, TRAIN_ROWS, &o, out);
    options_free(&section, 1);
    return s;
}

/* ---- the message ---- */

status start_make(const Mendel__Welcome *run, const Mendel__Candidate *candidate, const start_place *place,
                  trainer_message *out)
{
    *out = (trainer_message){.kind = TRAINER_START, .seed = candidate->seed};
    status s = place->external ? merge_any_hyps(run, candidate, &out->hyps) : merge_hyps(run, candidate, &out->hyps);
    if (s == OK) s = make_options(run, candidate, place, &out->options);
    out->data = text_copy(run->data_yaml);
    out->data_root = text_copy(place->data_root);
    out->model = text_copy(run->model_yaml);
    out->folder = text_copy(place->folder);
    if (place->resume) out->resume = text_copy(place->resume);
    if (place->leave) out->path = text_copy(place->leave);
    if (s == OK && (!out->data || !out->data_root || !out->model || !out->folder || (place->resume && !out->resume) ||
                    (place->leave && !out->path)))
        s = FAIL(ERR_MEMORY, "out of memory");
    if (s != OK) trainer_message_free(out);
    return s;
}
