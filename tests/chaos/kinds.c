#include "tests/chaos/kinds.h"

#include <string.h>

#include "tests/chaos/wire.h"

const kind kinds[KINDS] = {
    {"kills", "kill -9 at every place of the protocol", 70, 8, kills_plan, kills_set, NULL},
    {"store", "the coordinator's disk fails, fills up or loses power at its n-th step", DISKS_STORE_RUNS, 2,
     disks_plan_store, disks_set_store, NULL},
    {"spool", "the same for a worker's disk", DISKS_SPOOL_RUNS, 2, disks_plan_spool, disks_set_spool, NULL},
    {"power", "coordinator and workers lose power at places of the protocol, and what was not synced", 20, 2, NULL,
     disks_set_power, NULL},
    {"frost", "processes are stopped and continued, in the midst of things, for up to two lease times", 14, 1, NULL,
     frost_set, NULL},
    {"suspended", "machines sleep, one or all of them, and their monotonic clocks stand still", 10, 1, NULL,
     suspended_set, NULL},
    {"clocks", "wall clocks jump by up to two days", 12, 1, NULL, clocks_set, NULL},
    {"proxied", "messages are lost, doubled and overtaken by others between the sockets", 20, 1, NULL, proxied_set,
     NULL},
    {"partitioned", "two network namespaces are cut from each other, one way or both, for up to six seconds", 8, 0,
     NULL, partitioned_set, wire_needs},
    {"lossy", "packets between them come late, or not at all", 6, 1, NULL, lossy_set, wire_needs},
    {"moved", "the coordinator's folder goes to another machine with another address, and it goes on there", 6, 1, NULL,
     moved_set, NULL},
    {"trained", "real trainings, whose processes are killed", 4, 0, NULL, trained_set, NULL},
};

const kind *kind_find(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, name)) return &kinds[i];
    return NULL;
}
