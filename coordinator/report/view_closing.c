/* What a run has come to, in words, and the command that trains with it. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "coordinator/report/view.h"

/* ---- the command ---- */

static void add_quoted(text *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*word && strspn(word, plain) == strlen(word)) {
        text_add(out, "%s", word);
        return;
    }
    text_add(out, "'");
    for (; *word; word++) text_add(out, *word == '\'' ? "'\\''" : "%c", *word);
    text_add(out, "'");
}

/* An option whose value may be several words (--img-size 640 640). */
static void add_option(text *out, const option_row *row, const void *values)
{
    text value = {0};
    options_get(row, values, &value);
    text_add(out, " --%s", row->name);
    char *rest = NULL, *words = text_take(&value);
    if (!words) out->failed = true;
    else if (row->type == OPTION_INTS)
        for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            text_add(out, " %s", word);
    else if (row->type != OPTION_FLAG) {
        text_add(out, " ");
        add_quoted(out, words);
    }
    free(words);
}

static bool same_value(const option_row *row, const void *a, const void *b)
{
    text x = {0}, y = {0};
    options_get(row, a, &x);
    options_get(row, b, &y);
    bool same = !strcmp(text_string(&x), text_string(&y));
    text_free(&x);
    text_free(&y);
    return same;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names)) return true;
    return false;
}

/* Said first, whether or not they are defaults; and not said: the best hyps stand in for hyp, and candidates alone neither save
 * nor validate before their end. */
static const char *const always[] = {"data", "cfg", "weights", "epochs", "batch-size", "img-size", NULL};
static const char *const never[] = {"hyp", "nosave", "notest", "test-every", "resume", "name", "bucket", NULL};

/* What the options would be had the run said only what is said first. */
static status make_plain_options(const train_options *run, train_options *out)
{
    out->as_reference = run->as_reference;
    TRY(options_set(options_find(train_rows, TRAIN_ROWS, "cfg"), out, run->cfg, "cfg"));
    return train_options_complete(out, NULL);
}

/* The trainer beside this program, as seen from the working directory; the caller frees. */
static char *find_trainer(void)
{
    char own[PATH_MAX], here[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    const char *name = text_starts_with(path_name(own), "mendel-") ? "mendel-train" : "train";
    char *folder = path_folder(own), *trainer = folder ? path_join(folder, name) : NULL;
    free(folder);
    if (!trainer || access(trainer, X_OK)) {
        free(trainer);
        return text_copy(name);
    }
    size_t depth = getcwd(here, sizeof here) ? strlen(here) : 0;
    if (!depth || strncmp(trainer, here, depth) || trainer[depth] != '/') return trainer;
    char *relative = text_copy(trainer + depth + 1);
    free(trainer);
    return relative;
}

/* Where the best hyps of another trainer are. */
static status add_best_file(const run_spec *spec, const char *folder, text *out)
{
    char *hyps = path_join(folder, spec_best_file(spec));
    if (!hyps) return FAIL(ERR_MEMORY, "out of memory");
    text_add(out, "the run's own trainer, with ");
    add_quoted(out, hyps);
    free(hyps);
    return text_status(out);
}

status view_train_command(const run_spec *spec, const char *folder, text *out)
{
    if (spec->external) return add_best_file(spec, folder, out);
    const train_options *run = &spec->train;
    train_options plain = {0};
    option_section section = train_section(&plain, NULL);
    char *trainer = find_trainer(), *hyps = path_join(folder, spec_best_file(spec));
    status s = trainer && hyps ? options_defaults(&section, 1) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK) s = make_plain_options(run, &plain);
    if (s == OK) {
        add_quoted(out, trainer);
        for (const char *const *name = always; *name; name++) {
            const option_row *row = options_find(train_rows, TRAIN_ROWS, *name);
            bool empty = (!strcmp(row->name, "cfg") && !*run->cfg) || (!strcmp(row->name, "weights") && !*run->weights);
            if (!empty) add_option(out, row, run);
        }
        text_add(out, " --hyp ");
        add_quoted(out, hyps);
        for (size_t i = 0; i < TRAIN_ROWS; i++) {
            const option_row *row = &train_rows[i];
            if (is_one_of(row->name, always) || is_one_of(row->name, never)) continue;
            bool said = run->as_reference && !strcmp(row->name, "as-reference");
            if (said || !same_value(row, run, &plain)) add_option(out, row, run);
        }
        s = text_status(out);
    }
    options_free(&section, 1);
    free(trainer);
    free(hyps);
    return s;
}

/* ---- the closing report ---- */

static const member *find_member(const population *p, int64_t candidate)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->members[i].candidate == candidate) return &p->members[i];
    return NULL;
}

/* What the gain is counted from: the best imported row if there are any, else candidate 1. NULL: neither. */
static const member *find_start(const population *p)
{
    const member *start = NULL;
    for (size_t i = 0; i < p->count && p->members[i].candidate < 0; i++) { /* rows of a bucket may come later */
        const member *m = &p->members[i];
        if (!start || member_fitness(p, m) > member_fitness(p, start)) start = m;
    }
    return start ? start : find_member(p, 1);
}

static void add_name(text *out, const member *m)
{
    if (m->candidate > 0) text_add(out, "candidate %lld", (long long)m->candidate);
    else text_add(out, "imported row %lld", -(long long)m->candidate);
}

static void add_gain(text *out, const population *p, const member *best)
{
    const member *start = find_start(p);
    double f = member_fitness(p, best);
    char words[VIEW_NUMBER_ROOM];
    text_add(out, "best: ");
    add_name(out, best);
    text_add(out, ", fitness %s", view_number(f, false, words));
    if (start == best) text_add(out, ", the start itself: nothing bred was better");
    else if (start) {
        double from = member_fitness(p, start);
        text_add(out, ", %s", view_number(f - from, true, words));
        if (from > 0) text_add(out, " (%+.1f %%)", 100 * (f - from) / from);
        text_add(out, " over the start (");
        add_name(out, start);
        text_add(out, ", %s)", view_number(from, false, words));
    }
    const double *r = best->results;
    text_add(out, "\n  P %.4g  R %.4g  mAP@.5 %.4g  mAP@.5:.95 %.4g\n\n", r[0], r[1], r[2], r[3]);
}

static void add_hyps(text *out, const run_spec *spec, const member *best)
{
    const hyp_space *space = &spec->space;
    double base[HYP_MAX];
    int width = 0;
    memcpy(base, spec->base, space->count * sizeof *base);
    hyp_constrain(space, base);
    for (size_t i = 0; i < space->count; i++)
        if ((int)strlen(space->rows[i].key) > width) width = (int)strlen(space->rows[i].key);
    for (size_t i = 0; i < space->count; i++) {
        bool changed = best->hyps[i] != base[i];
        text_add(out, "  %c %-*s  %-10.5g", changed ? '*' : ' ', width, space->rows[i].key, best->hyps[i]);
        if (changed) text_add(out, "  was %.5g", base[i]);
        else
            while (out->length && out->bytes[out->length - 1] == ' ') out->bytes[--out->length] = '\0';
        text_add(out, "\n");
    }
}

static void add_file(text *out, const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    if (!path) out->failed = true;
    else text_add(out, "  %s\n", path);
    free(path);
}

status view_closing(const run_spec *spec, const population *p, const char *folder, text *out)
{
    member *rows;
    size_t count;
    if (!p->count) {
        text_add(out, "no candidate was evaluated: there is no best one\n");
        return text_status(out);
    }
    TRY(population_rows(p, &rows, &count)); /* the best as the files have it: they know three digits */
    const member *best = find_member(p, rows[0].candidate);
    free(rows);
    add_gain(out, p, best);
    add_hyps(out, spec, best);
    text_add(out, "\nfiles:\n");
    add_file(out, folder, "evolve.txt");
    add_file(out, folder, "hyp_evolved.yaml");
    add_file(out, folder, "evolve.png");
    text_add(out, "\ntrain with the best:\n  ");
    TRY(view_train_command(spec, folder, out));
    text_add(out, "\n");
    return text_status(out);
}
