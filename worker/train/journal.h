/* journal.h - what a training leaves for people to look at: TensorBoard's events.
 *
 * Nothing here ends a training. What cannot be written is said in a warning, once, and done without from then on.
 *
 * Source: the calls of tb_writer in train() of train.py. */
#ifndef TRAIN_JOURNAL_H
#define TRAIN_JOURNAL_H

#include "common/train_options.h"
#include "worker/data/dataset.h"
#include "worker/train/events.h"

typedef struct journal journal;

typedef struct journal_options {
    const char *folder; /* of the run. Borrowed, as is the data set */
    bool tensorboard;
    const dataset *data; /* that is trained on */
} journal_options;

/* What an option asks for in this training. */
static inline bool journal_wanted(int keep, bool candidate)
{
    return keep == TRAIN_KEEP_ALWAYS || (keep == TRAIN_KEEP_AUTO && !candidate);
}

/* Begin with the classes of the labels. NULL when nothing is wanted, or without memory; all functions take that for a journal which
 * is not kept. */
journal *journal_start(const journal_options *o);
/* An epoch is over: its line of results.txt, and the learning rates of its last batch. */
void journal_epoch(journal *j, const results_row *row, const double lr[UPDATE_GROUPS]);
void journal_end(journal **j);

#endif
