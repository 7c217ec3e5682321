/* formats/tensorboard.json: what the reference told TensorBoard in the training that results_input.json records. Here a file of it is
 * written as a training writes it, and read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/parity/formats_shared.h"
#include "worker/train/events.h"
#include "worker/train/schedule.h"
#include "worker/train/test_events.h"

/* The learning rates follow from hyp.yaml and opt.yaml. */
static bool read_schedule(parity *p, const yaml_node *input, schedule *out)
{
    size_t length;
    yaml *hyp = NULL, *opt = NULL;
    const char *texts[] = {parity_text(p, "formats/hyp.yaml", &length), parity_text(p, "formats/opt.yaml", &length)};
    if (!texts[0] || !texts[1]) return false;
    bool read = case_ok(p, "hyp.yaml", yaml_parse("hyp.yaml", texts[0], strlen(texts[0]), &hyp)) &&
                case_ok(p, "opt.yaml", yaml_parse("opt.yaml", texts[1], strlen(texts[1]), &opt));
    if (read) {
        const yaml_node *h = yaml_root(hyp), *o = yaml_root(opt);
        schedule_options options = {
            .optimizer = json_bool(p, o, "adam") ? OPTIMIZER_ADAM : OPTIMIZER_SGD,
            .lr0 = json_double(p, h, "lr0"),
            .lrf = json_double(p, h, "lrf"),
            .momentum = json_double(p, h, "momentum"),
            .weight_decay = json_double(p, h, "weight_decay"),
            .epochs = json_int(p, o, "epochs"),
            .batches = json_int(p, input, "batches_per_epoch"),
            .batch_size = json_int(p, o, "total_batch_size"),
        };
        schedule_start(&options, out);
    }
    yaml_destroy(&hyp);
    yaml_destroy(&opt);
    return read && !case_failed(p);
}

static status write_file(parity *p, const yaml_node *input, const schedule *s, const char *folder)
{
    events *e;
    results_row row;
    TRY(fs_make_folders(folder, 0777));
    TRY(events_open(folder, &e));
    const double classes[] = {0, 1, 0};
    events_histogram(e, "classes", 0, classes, 3);
    for (int64_t epoch = 0; epoch < s->o.epochs && formats_row(p, input, epoch, &row); epoch++)
        events_epoch(e, &row, schedule_at(s, epoch, (epoch + 1) * s->o.batches - 1).lr);
    status result = events_flush(e);
    events_close(&e);
    return result;
}

static const Events__Summary__Value *value_at(const event_list *list, size_t at)
{
    const Events__Event *e = at < list->count ? list->items[at] : NULL;
    return e && e->what_case == EVENTS__EVENT__WHAT_SUMMARY && e->summary->n_value == 1 ? e->summary->value[0] : NULL;
}

/* Pairs of tag and value, in this order. */
static void check_epoch(parity *p, const event_list *list, int64_t epoch, const yaml_node *want)
{
    for (size_t i = 0; i < want->count; i++) {
        size_t at = 2 + (size_t)epoch * want->count + i;
        const Events__Summary__Value *v = value_at(list, at);
        const yaml_node *pair = &want->items[i];
        if (pair->kind != YAML_LIST || pair->count != 2) case_fail(p, "a pair of tag and value was expected");
        else if (!v || v->value_case != EVENTS__SUMMARY__VALUE__VALUE_SIMPLE_VALUE)
            case_fail(p, "epoch %lld: event %zu is no number", (long long)epoch, at);
        else {
            const char *tag = yaml_string(&pair->items[0]);
            case_int(p, "step", list->items[at]->step, epoch);
            case_text(p, "tag", v->tag, strlen(v->tag), tag, strlen(tag));
            case_number(p, tag, (double)v->simple_value, (double)(float)json_number(p, &pair->items[1]), EXACT);
        }
    }
}

static void check_tags(parity *p, const event_list *list, const yaml_node *tags)
{
    for (size_t at = 2; at < list->count; at++) {
        const Events__Summary__Value *v = value_at(list, at);
        const char *tag = yaml_string(&tags->items[(at - 2) % tags->count]);
        if (v) case_text(p, "tag", v->tag, strlen(v->tag), tag, strlen(tag));
        else case_fail(p, "event %zu is no number", at);
    }
}

/* [tag, kind, step] of what is no scalar. */
static void check_other(parity *p, const event_list *list, const yaml_node *calls)
{
    if (!case_int(p, "other calls", (int64_t)calls->count, 1) ||
        !case_int(p, "call", (int64_t)calls->items[0].count, 3))
        return;
    const yaml_node *call = calls->items[0].items;
    const Events__Summary__Value *v = value_at(list, 1);
    if (!v || strcmp(v->tag, yaml_string(&call[0]))) case_fail(p, "there is no %s", yaml_string(&call[0]));
    else if (strcmp(yaml_string(&call[1]), "histogram") || v->value_case != EVENTS__SUMMARY__VALUE__VALUE_HISTO)
        case_fail(p, "%s is no %s", v->tag, yaml_string(&call[1]));
    else case_int(p, "step", list->items[1]->step, (int64_t)json_number(p, &call[2]));
}

static void check_file(parity *p, const yaml_node *want, const event_list *list)
{
    static const char *const known[] = {"scalars_of_epoch", "tags_in_order", "other_calls", "n_scalar_calls"};
    for (size_t i = 0; i < want->count; i++) {
        size_t k = 0, keys = sizeof known / sizeof *known;
        while (k < keys && strcmp(known[k], yaml_string(&want->keys[i]))) k++;
        if (k == keys) case_fail(p, "unknown key \"%s\"", yaml_string(&want->keys[i]));
    }
    const yaml_node *epochs = json_get(p, want, "scalars_of_epoch"), *tags = json_get(p, want, "tags_in_order"),
                    *other = json_get(p, want, "other_calls");
    if (!epochs || !tags || !tags->count || !other) return;
    case_int(p, "scalars", (int64_t)list->count - 2, json_int(p, want, "n_scalar_calls"));
    check_other(p, list, other);
    check_tags(p, list, tags);
    for (size_t i = 0; i < epochs->count; i++)
        check_epoch(p, list, (int64_t)json_number(p, &epochs->keys[i]), &epochs->items[i]);
}

void formats_run_tensorboard(parity *p)
{
    const yaml_node *want = parity_json(p, "formats/tensorboard.json"),
                    *input = parity_json(p, "formats/results_input.json");
    schedule s;
    event_list list = {0};
    if (!want || !input || !read_schedule(p, input, &s)) return;
    const char *folder = parity_name(p, "%s/tensorboard", parity_scratch(p));
    if (!case_ok(p, "event file", write_file(p, input, &s, folder))) return;
    char *path = test_events_find(folder);
    if (!path) case_fail(p, "no event file was written");
    else if (case_ok(p, "event file", test_events_read(path, &list))) check_file(p, want, &list);
    test_events_free(&list);
    free(path);
}
