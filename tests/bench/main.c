#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>

#include "common/cores.h"
#include "common/log.h"
#include "worker/backend/load.h"

static const struct {
    const char *name, *about;
    status (*run)(int argc, char **argv);
} benches[] = {
    {"step", "one training step: images/s, the convolutions' own ceiling, memory", bench_step},
};
enum { BENCHES = sizeof benches / sizeof *benches };

void bench_figure(const char *name, double value, const char *unit)
{
    printf("%-40s %12.4g %s\n", name, value, unit);
    fflush(stdout);
}

status bench_device(int64_t threads, const backend_ops **ops, device **d)
{
    device_options options = {.threads = threads ? (int)threads : cores_available()};
    TRY(backend_load("cpu", ops));
    return (*ops)->open(0, &options, d);
}

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < BENCHES; i++) {
        if (strcmp(argv[1], benches[i].name)) continue;
        if (benches[i].run(argc - 1, argv + 1) == OK) return 0;
        log_error("%s", status_message());
        return 1;
    }
    fprintf(stderr, "usage: bench NAME [options]\n\n");
    for (int i = 0; i < BENCHES; i++) fprintf(stderr, "  %-10s %s\n", benches[i].name, benches[i].about);
    return 2;
}
