/* labels_plot.h - what the labels of a data set are like: labels.png and labels_correlogram.png.
 *
 * labels.png: how many of each class; the boxes, laid on one centre; where centres lie, and how wide and high boxes are, darker where
 * there are more. labels_correlogram.png: each of x, y, width and height by itself, and each pair of them.
 *
 * Source: plot_labels() of utils/general.py. */
#ifndef PLOTS_LABELS_PLOT_H
#define PLOTS_LABELS_PLOT_H

#include "worker/data/dataset.h"

/* Draw both into the folder, atomically; `names` of the data set's classes. Without a label nothing is drawn. Errors are those of
 * canvas_write_png. */
status plot_labels(const dataset *d, char *const *names, const char *folder);

#endif
