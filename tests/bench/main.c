#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static benchmark *benchmarks; /* by rising place */

void bench_add(benchmark *b)
{
    benchmark **at = &benchmarks;
    while (*at && (*at)->place < b->place) at = &(*at)->next;
    b->next = *at;
    *at = b;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

static bool run(const benchmark *b, int argc, char **argv)
{
    void *values = calloc(1, b->options_size);
    option_section section = {b->name, b->rows, b->row_count, values, NULL};
    status s = values ? options_defaults(&section, 1) : FAIL(ERR_MEMORY, "out of memory");
    if (s == OK && wants_help(argc, argv)) {
        options_help(&section, 1, "bench NAME [options]", b->about, stdout);
    } else {
        if (s == OK) s = options_parse(&section, 1, argc, argv, NULL);
        if (s == OK) s = b->run(values);
    }
    if (s != OK) log_error("bench %s: %s", b->name, status_message());
    if (values) options_free(&section, 1);
    free(values);
    return s == OK;
}

static bool run_all(char **argv)
{
    bool good = true;
    for (const benchmark *b = benchmarks; b; b = b->next) {
        bench_note("# %s: %s", b->name, b->about);
        good = run(b, 1, argv) && good;
    }
    return good;
}

static int show_usage(void)
{
    fprintf(stderr, "usage: bench [--json] NAME [options]\n       bench NAME --help\n\n");
    for (const benchmark *b = benchmarks; b; b = b->next) fprintf(stderr, "  %-10s %s\n", b->name, b->about);
    fprintf(stderr, "  %-10s each of these\n", "all");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--json")) {
        bench_set_json();
        argv++;
        argc--;
    }
    if (argc < 2) return show_usage();
    if (log_get_level() > LEVEL_WARNING) log_set_level(LEVEL_WARNING); /* figures alone; MENDEL_LOG=info shows more */
    if (argc == 2 && !strcmp(argv[1], "all")) return run_all(argv + 1) ? 0 : 1;
    for (const benchmark *b = benchmarks; b; b = b->next)
        if (!strcmp(argv[1], b->name)) return run(b, argc - 1, argv + 1) ? 0 : 1;
    return show_usage();
}
