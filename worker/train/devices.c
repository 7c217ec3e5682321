#include "worker/train/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cores.h"
#include "common/text.h"
#include "common/train_options.h"
#include "worker/backend/load.h"

/* ---- the list ---- */

status devices_count(const char *list, int *count)
{
    *count = 1;
    for (const char *at = list; *list; at++) {
        size_t length = strcspn(at, ",");
        if (!length) return FAIL(ERR_ARGUMENT, "--device %s: a device is missing between commas", list);
        at += length;
        if (!*at) break;
        if (++*count > TEAM_RANKS) return FAIL(ERR_ARGUMENT, "--device: more than %d devices", TEAM_RANKS);
    }
    return OK;
}

/* The device at a place of the list; one alone stands for all places. The caller frees. */
static char *name_at(const char *list, int place)
{
    const char *at = list;
    for (; place > 0 && strchr(at, ','); place--) at = strchr(at, ',') + 1;
    return text_copy_bytes(at, strcspn(at, ","));
}

/* ---- opening ---- */

/* As many as were asked for, else as OpenMP was told (a worker does), else a core each. */
static int choose_threads(int64_t wish)
{
    long long told;
    const char *environment = getenv("OMP_NUM_THREADS");
    if (wish > 0) return (int)wish;
    if (environment && text_to_long(environment, &told) && told > 0 && told <= cores_available()) return (int)told;
    return cores_available();
}

status devices_open(const char *list, int place, int sharers, int64_t threads, const backend_ops **ops, device **out)
{
    int count, share = choose_threads(threads) / sharers;
    *out = NULL;
    TRY(devices_count(list, &count));
    char *name = name_at(list, place);
    if (!name) return FAIL(ERR_MEMORY, "out of memory");
    status s = OK;
    if (*name && strcmp(name, "cpu")) s = FAIL(ERR_UNSUPPORTED, "--device %s: this version trains on 'cpu' only", name);
    free(name);
    TRY(s);
    TRY(backend_load("cpu", ops));
    return (*ops)->open(0, &(device_options){.threads = share > 0 ? share : 1}, out);
}

void devices_describe(int count, device_info *info)
{
    char name[DEVICE_NAME_ROOM + 16];
    if (count < 2) return;
    snprintf(name, sizeof name, "%d x %s", count, info->name);
    name[DEVICE_NAME_ROOM - 1] = '\0';
    memcpy(info->name, name, DEVICE_NAME_ROOM);
}

/* ---- precision ---- */

static const char *const precision_names[PRECISION_COUNT] = {"fp32", "bf16", "fp16"};

const char *precision_name(precision p)
{
    return precision_names[p];
}

status devices_choose_precision(const device_info *device, int wish, precision *out)
{
    static const precision wishes[] =
        {[TRAIN_FP32] = PRECISION_FP32, [TRAIN_BF16] = PRECISION_BF16, [TRAIN_FP16] = PRECISION_FP16};
    *out = wish == TRAIN_AUTO ? device->best : wishes[wish];
    if (device->supports[*out]) return OK;
    return FAIL(ERR_UNSUPPORTED, "--precision %s: %s cannot", precision_name(*out), device->name);
}
