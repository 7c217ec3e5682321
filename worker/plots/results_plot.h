/* results_plot.h - results.png: losses and metrics of every epoch.
 *
 * Source: plot_results() of utils/general.py. */
#ifndef PLOTS_RESULTS_PLOT_H
#define PLOTS_RESULTS_PLOT_H

#include "worker/train/results.h"

/* Ten panels over the epochs: the losses of training and of validation, P, R, mAP@.5, mAP@.5:.95. Losses of 0 are gaps (there was
 * none, such as a validation's before the first), as are values that are not finite. Without a row nothing is drawn. Written
 * atomically; errors are those of canvas_write_png. */
status plot_results(const results_row *rows, size_t count, const char *path);

#endif
