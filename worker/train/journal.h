/* journal.h - what a training leaves for people to look at: TensorBoard's events, plots, and pictures with boxes.
 *
 *     events.out.tfevents...           from the start, a few lines more after every epoch (events.h)
 *     labels.png, labels_correlogram.png    at the start
 *     train_batch0.jpg, 1, 2           the first batches of the whole training; TensorBoard gets them too
 *     test_batch0_gt.jpg               the first batch of the first validation, with its labels
 *     test_batch0_pred.jpg, precision_recall_curve.png    the first batch's boxes of score .3 and more, and the curves: at the first
 *                                      validation, at the last, and in between when half a minute has passed
 *     results.png                      at the end
 *
 * Nothing here ends a training. What cannot be written is said in a warning, once, and done without from then on. All functions take
 * NULL for a journal which is not kept.
 *
 * Source: the calls of plot_labels, plot_images, plot_results and tb_writer in train.py and test.py. There pictures that exist are left
 * alone, so test_batch0_pred.jpg shows what the first epoch found, which is nothing. */
#ifndef TRAIN_JOURNAL_H
#define TRAIN_JOURNAL_H

#include "common/train_options.h"
#include "worker/metrics/ap.h"
#include "worker/train/events.h"
#include "worker/train/validate.h"

typedef struct journal journal;

typedef struct journal_options {
    const char *folder; /* Borrowed, as all pointers here */
    bool tensorboard, plots;
    const dataset *train;      /* its labels are plotted, its pictures' names shown; NULL: there is no training */
    const dataset *validation; /* that the validator goes through */
    char *const *names;        /* of the classes */
    int classes;
} journal_options;

/* What an option asks for in this training. */
static inline bool journal_wanted(int keep, bool candidate)
{
    return keep == TRAIN_KEEP_ALWAYS || (keep == TRAIN_KEEP_AUTO && !candidate);
}

/* Begin with the labels. NULL when nothing is wanted, or without memory. */
journal *journal_start(const journal_options *o);
void journal_end(journal **j);

/* A batch that was trained, the `iteration`-th of the whole training from 0. */
void journal_batch(journal *j, const batch *b, int64_t iteration, int64_t epoch);
/* A validation begins at `now` (clock_seconds); `last`: there will be no other. journal_seen is for its validator_options, with the
 * journal as state. */
void journal_validating(journal *j, double now, bool last);
status journal_seen(void *journal, const validated_batch *b);
void journal_validated(journal *j, const ap_summary *s);
/* An epoch is over: its line of results.txt, and the learning rates of its last batch. */
void journal_epoch(journal *j, const results_row *row, const double lr[UPDATE_GROUPS]);
/* The training is over; its results.txt is whole. */
void journal_results(journal *j, const char *results_path);

#endif
