/* evolve.txt and what goes with it, on a disk that takes nothing for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/log.h"
#include "common/text.h"
#include "coordinator/report/reporter.h"

typedef struct setting {
    char folder[64], away[80];
    run_spec spec;
    population population;
    reporter *reporter;
} setting;

static int set_up(void **state)
{
    setting *t = *state = calloc(1, sizeof *t);
    log_set_level(LEVEL_SILENT);
    if (!t) return 1;
    strcpy(t->folder, "/tmp/reporter_test_XXXXXX");
    if (!mkdtemp(t->folder)) return 1;
    snprintf(t->away, sizeof t->away, "%s.away", t->folder);
    hyp_space_default(&t->spec.space);
    hyp_space_default(&t->spec.trained);
    memcpy(t->spec.fitness, fitness_weights_default, sizeof t->spec.fitness);
    population_start(&t->population, &t->spec.space, t->spec.fitness);
    member m = {.candidate = 1, .results = {.5, .5, .5, .5, .1, .1, .1}};
    hyp_defaults(&t->spec.space, false, m.hyps);
    return population_add(&t->population, &m) != OK || reporter_create(t->folder, &t->spec, &t->reporter) != OK;
}

static int tear_down(void **state)
{
    setting *t = *state;
    reporter_destroy(&t->reporter);
    population_free(&t->population);
    fs_remove(t->folder);
    free(t);
    return 0;
}

static bool has_evolve(const setting *t)
{
    char *path = path_join(t->folder, "evolve.txt");
    bool has = path && fs_is_file(path);
    free(path);
    return has;
}

static void what_could_not_be_written_is_tried_once_more(void **state)
{
    setting *t = *state;
    assert_int_equal(rename(t->folder, t->away), 0); /* nothing can be written there now */
    assert_int_equal(reporter_tell(t->reporter, &t->population), OK);
    reporter_finish(t->reporter);
    assert_int_equal(reporter_written(t->reporter), 0);
    assert_int_equal(reporter_complete(t->reporter, 1), ERR_IO);
    assert_non_null(strstr(status_message(), "evolve.txt"));
    assert_int_equal(rename(t->away, t->folder), 0);
    assert_int_equal(reporter_complete(t->reporter, 1), OK);
    assert_true(has_evolve(t));
}

static void what_is_written_is_complete(void **state)
{
    setting *t = *state;
    assert_int_equal(reporter_complete(t->reporter, 0), OK);
    assert_false(has_evolve(t));
    assert_int_equal(reporter_tell(t->reporter, &t->population), OK);
    reporter_finish(t->reporter);
    assert_int_equal(reporter_written(t->reporter), 1);
    assert_int_equal(reporter_complete(t->reporter, 1), OK);
    assert_true(has_evolve(t));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest cases[] = {CASE(what_could_not_be_written_is_tried_once_more),
                                       CASE(what_is_written_is_complete)};
    return cmocka_run_group_tests(cases, NULL, NULL);
}
