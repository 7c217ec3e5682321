#include "common/cores.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The first two numbers of a small file; how many there were. "max" ends the reading. */
static int read_numbers(const char *path, double *a, double *b)
{
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    int n = fscanf(f, "%lf %lf", a, b);
    fclose(f);
    return n;
}

/* Cores of quota in the cgroup this process sees at its root, 0 for no limit. */
static double cgroup_quota(void)
{
    double quota, period;
    if (read_numbers("/sys/fs/cgroup/cpu.max", &quota, &period) == 2 && period > 0) return quota / period;
    double unused;
    if (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota, &unused) == 1 && quota > 0 &&
        read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period, &unused) == 1 && period > 0)
        return quota / period;
    return 0;
}

int cores_available(void)
{
    cpu_set_t set;
    int cores = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
    else cores = (int)sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a cpu_set_t holds */
    double quota = cgroup_quota();
    if (quota > 0 && quota < cores) cores = (int)(quota + 0.999);
    return cores > 0 ? cores : 1;
}
