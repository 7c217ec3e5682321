#include "tests/bench/device.h"

#include "common/cores.h"
#include "worker/backend/load.h"

status bench_device(int64_t threads, const backend_ops **ops, device **d)
{
    device_options options = {.threads = threads ? (int)threads : cores_available()};
    TRY(backend_load("cpu", ops));
    return (*ops)->open(0, &options, d);
}
