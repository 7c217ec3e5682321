/* Runs every fixture folder; see parity.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/options.h"
#include "common/text.h"
#include "tests/parity/parity_internal.h"

typedef struct parity_options {
    char *data, *only;
} parity_options;

#define ROWS(ROW)                                                                                                      \
    ROW(parity_options, data, STRING, "data", "", "", 0, 0, "YAML", "the data set that the pictures come from")        \
    ROW(parity_options, only, STRING, "only", "", "", 0, 0, "FOLDER", "run this folder alone")
static const option_row rows[] = {ROWS(OPTION_AS_ROW)};

static const struct {
    const char *folder;
    void (*run)(parity *p);
} runners[] = {
    {"rng", parity_rng},     {"evolve", parity_evolve},   {"formats", parity_formats}, {"schedule", parity_schedule},
    {"data", parity_data},   {"anchors", parity_anchors}, {"metrics", parity_metrics}, {"loss", parity_loss},
    {"model", parity_model}, {"train", parity_train},
};

/* --data, else DIR/data.yaml, else the only yaml in DIR/../data; NULL if there is none. */
static const char *choose_data(parity *p, const char *given)
{
    if (*given) return given;
    if (parity_has(p, "data.yaml")) {
        parity_use(p, "data.yaml");
        return parity_path(p, "data.yaml");
    }
    const char *beside = parity_path(p, "../data"), *only = NULL;
    fs_names names;
    if (!fs_is_folder(beside) || fs_list(beside, &names) != OK) return NULL;
    int yamls = 0;
    for (size_t i = 0; i < names.count; i++)
        if (!strcmp(path_extension(names.names[i]), ".yaml") && yamls++ == 0)
            only = parity_keep(p, path_join(beside, names.names[i]));
    fs_names_free(&names);
    return yamls == 1 ? only : NULL;
}

static int report(parity *p)
{
    int passed = 0, failed = p->loose_failures;
    for (size_t i = 0; i < p->folder_count; i++) {
        const folder_count *f = &p->folders[i];
        printf("%-10s %4d run of %4d found, %d failed\n", f->name, f->run, f->found, f->failed + f->found - f->run);
        passed += f->run - f->failed;
        failed += f->failed + f->found - f->run;
    }
    failed += fixtures_unused(p);
    if (fs_is_folder(parity_path(p, "curves")))
        printf("curves: whole trainings, run by make check-curves; not counted\n");
    if (!passed && !failed) printf("FAILED: no case below %s\n", p->root), failed++;
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    parity_options o;
    option_section section = {"options", rows, sizeof rows / sizeof *rows, &o, NULL};
    fs_names positional = {0};
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        options_help(&section, 1, "parity DIR [options]", "Compare with recorded results of the reference.", stdout);
        return 0;
    }
    status s = options_defaults(&section, 1);
    if (s == OK) s = options_parse(&section, 1, argc, argv, &positional);
    if (s == OK && positional.count != 1) s = FAIL(ERR_ARGUMENT, "the folder with the fixtures was expected");
    parity p = {.root = s == OK ? positional.names[0] : "", .only = *o.only ? o.only : NULL};
    if (s == OK) s = fixtures_list(&p);
    if (s != OK) {
        log_error("%s", status_message());
        return 2;
    }
    p.data_path = choose_data(&p, o.data);
    log_set_level(LEVEL_ERROR); /* what is said about bad input is part of some cases, not of the output */
    for (size_t i = 0; i < sizeof runners / sizeof *runners; i++)
        if (fs_is_folder(parity_path(&p, runners[i].folder)) && (!p.only || !strcmp(p.only, runners[i].folder)))
            runners[i].run(&p);
    int code = report(&p);
    if (*p.scratch) fs_remove(p.scratch);
    if (p.device) p.ops->close(&p.device);
    data_yaml_free(&p.data);
    fixtures_free(&p);
    fs_names_free(&positional);
    options_free(&section, 1);
    return code;
}
