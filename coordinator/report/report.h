/* report.h - what a run leaves for people: evolve.txt, hyp_evolved.yaml, evolve.png. */
#ifndef COORDINATOR_REPORT_H
#define COORDINATOR_REPORT_H

#include "coordinator/evolve/population.h"

/* Write evolve.txt and hyp_evolved.yaml into `folder`, each atomically. While there is no member nothing is written. Errors
 * are those of fs_write. */
status report_write(const population *p, const char *folder);
/* Draw evolve.png: one panel a hyperparameter, its value against fitness, later candidates darker, the best marked, its value
 * in the title. The scale is logarithmic where the limits are positive and the values span much. Written atomically; nothing
 * without a member. */
status report_plot(const population *p, const char *path);

#endif
