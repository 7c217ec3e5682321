/* cores.h - how many processor cores this process may use. */
#ifndef COMMON_CORES_H
#define COMMON_CORES_H

/* Cores in the affinity mask, no more than the cgroup's CPU quota allows (v1 and v2, rounded up); at least 1. */
int cores_available(void);

#endif
