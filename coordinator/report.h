/* report.h - what a run leaves for people: evolve.txt, hyp_evolved.yaml, evolve.png. */
#ifndef COORDINATOR_REPORT_H
#define COORDINATOR_REPORT_H

#include "coordinator/population.h"

/* Write evolve.txt and hyp_evolved.yaml into `folder`, each atomically. */
status report_write(const population *p, const char *folder);
/* Draw evolve.png: one panel a hyperparameter, its value against fitness, the best marked. */
status report_plot(const population *p, const char *path);

#endif
