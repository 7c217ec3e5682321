/* curve_plot.h - precision_recall_curve.png: how precise a detector is at any recall, at overlap .5.
 *
 * The curves are those whose areas are the APs: the envelope of precision, and 0 beyond the highest recall reached. */
#ifndef PLOTS_CURVE_PLOT_H
#define PLOTS_CURVE_PLOT_H

#include "worker/metrics/ap.h"

/* A line for each class with targets, and their mean; with up to ten classes each has its colour and its AP in the key. `names` of the
 * `classes`. Where nothing was right the mean runs along 0. Written atomically; errors are those of canvas_write_png. */
status plot_precision_recall(const ap_summary *s, char *const *names, int classes, const char *path);

#endif
