#include "tests/chaos/kinds.h"

#include <string.h>

const kind kinds[KINDS] = {
    {"kills", "kill -9 at every place of the protocol", 70, 8, kills_plan, kills_set, NULL},
    {"store", "the coordinator's disk fails, fills up or loses power at its n-th step", DISKS_STORE_RUNS, 2,
     disks_plan_store, disks_set_store, NULL},
    {"spool", "the same for a worker's disk", DISKS_SPOOL_RUNS, 2, disks_plan_spool, disks_set_spool, NULL},
};

const kind *kind_find(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, name)) return &kinds[i];
    return NULL;
}
