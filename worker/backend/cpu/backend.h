/* backend.h - the functions behind the CPU's table; see worker/backend/backend.h for what they do. */
#ifndef CPU_BACKEND_H
#define CPU_BACKEND_H

#include "worker/backend/backend.h"

status cpu_plan_create(device *d, const graph *g, const plan_options *options, plan **out);
void cpu_plan_destroy(plan **p);
status cpu_plan_write(plan *p, plan_side side, int tensor, const void *from, size_t bytes);
status cpu_plan_read(plan *p, plan_side side, int tensor, void *to, size_t bytes);
status cpu_plan_run(plan *p);
int64_t cpu_plan_memory(const plan *p);
status cpu_plan_ceiling(plan *p, double *seconds);
status cpu_plan_profile(plan *p, int runs, text *out);

#endif
