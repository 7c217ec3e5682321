/* Any bytes as an evolve.txt: rows that breed, or an error that leaves the population as it was. What was read is written as rows that read
 * again. */
#include <math.h>
#include <stdlib.h>

#include "common/log.h"
#include "coordinator/evolve/population.h"
#include "tests/fuzz/file.h"

static void read_again(const population *p, const hyp_space *space)
{
    char path[FUZZ_PATH_ROOM];
    text rows = {0}, best = {0};
    population again;
    if (population_evolve_txt(p, &rows) != OK || population_hyp_evolved(p, &best) != OK) abort();
    population_start(&again, space, p->weights);
    int descriptor = fuzz_file((const uint8_t *)rows.bytes, rows.length, path);
    if (population_import(&again, path) != OK || !again.count != !p->count || again.count > p->count) abort();
    close(descriptor);
    population_free(&again);
    text_free(&rows);
    text_free(&best);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    char path[FUZZ_PATH_ROOM];
    hyp_space space;
    population p;
    log_set_level(LEVEL_SILENT);
    hyp_space_default(&space);
    population_start(&p, &space, fitness_weights_default);
    int descriptor = fuzz_file(data, count, path);
    status s = population_import(&p, path);
    if (s != OK && p.count) abort();
    for (size_t i = 0; i < p.count; i++)
        if (!isfinite(member_fitness(&p, &p.members[i]))) abort();
    if (s == OK) read_again(&p, &space);
    close(descriptor);
    population_free(&p);
    return 0;
}
