/* external.c - a run whose workers bring a trainer of their own: its hyperparameters may be any, and without --data and --cfg its
 * data and model are its own business. */
#include <string.h>

#include "coordinator/spec/inner.h"

static bool was_given(const bool *given, const char *name)
{
    return given && given[options_find(train_rows, TRAIN_ROWS, name) - train_rows];
}

/* What the defaults name is YOLOv5's, and not looked for. */
status spec_complete_external(train_options *o, const bool *given)
{
    static const char *const own[] = {"weights", "data"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!was_given(given, own[i])) TRY(options_set(options_find(train_rows, TRAIN_ROWS, own[i]), o, "", own[i]));
    if (o->img_size.count > 2) return FAIL(ERR_ARGUMENT, "--img-size: one or two sizes were expected");
    if (o->img_size.count == 1) o->img_size.values[o->img_size.count++] = o->img_size.values[0];
    return OK;
}

/* All hyps that the trainer is to get: those of --hyp, else those that evolve. */
static status find_trained(const char *hyp, const char *meta, bool weights, run_spec *out)
{
    if (*hyp) return hyp_read_any(hyp, &out->trained, out->hyps);
    if (*meta) TRY(hyp_space_read(meta, &out->trained));
    else hyp_space_default(&out->trained);
    hyp_defaults(&out->trained, weights, out->hyps);
    return OK;
}

/* Without --meta those of YOLOv5's hyps evolve that the trainer takes. */
static void take_known(const hyp_space *trained, hyp_space *space)
{
    hyp_space all;
    hyp_space_default(&all);
    *space = (hyp_space){.digits = all.digits};
    for (size_t i = 0; i < all.count; i++)
        if (hyp_find(trained, all.rows[i].key) >= 0) space->rows[space->count++] = all.rows[i];
}

static status check_row(const char *meta, const run_spec *spec, size_t i)
{
    const hyp_row *row = &spec->space.rows[i];
    if (!hyp_key_is_plain(row->key))
        return FAIL(ERR_ARGUMENT, "%s: '%s': a key of letters, digits, _, - and . was expected", meta, row->key);
    if (hyp_find(&spec->space, row->key) != (int)i)
        return FAIL(ERR_ARGUMENT, "%s: '%s' stands there twice", meta, row->key);
    if (hyp_find(&spec->trained, row->key) < 0)
        return FAIL(ERR_ARGUMENT, "%s: '%s' is not in %s", meta, row->key, spec->train.hyp);
    return OK;
}

status spec_make_external_space(const char *meta, run_spec *out)
{
    TRY(find_trained(out->train.hyp, meta, *out->train.weights, out));
    if (*meta) TRY(hyp_space_read(meta, &out->space));
    else take_known(&out->trained, &out->space);
    if (!out->space.count)
        return FAIL(ERR_ARGUMENT, "%s has none of YOLOv5's hyperparameters: --meta FILE says which evolve",
                    out->train.hyp);
    for (size_t i = 0; i < out->space.count; i++) {
        TRY(check_row(meta, out, i));
        out->base[i] = out->hyps[hyp_find(&out->trained, out->space.rows[i].key)];
    }
    return OK;
}
