#include "worker/train/journal.h"

#include <stdlib.h>

#include "common/array.h"
#include "common/log.h"

struct journal {
    journal_options o;
    events *events; /* NULL: none are written */
};

/* ---- events ---- */

static void give_up_events(journal *j)
{
    log_warning("%s; going on without TensorBoard", status_message());
    events_close(&j->events);
}

static void flush_events(journal *j)
{
    if (j->events && events_flush(j->events) != OK) give_up_events(j);
}

static status add_classes(journal *j)
{
    const dataset *d = j->o.data;
    double *classes;
    TRY(array_new(&classes, d->label_count));
    for (size_t i = 0; i < d->label_count; i++) classes[i] = (double)d->labels[i].cls;
    events_histogram(j->events, "classes", 0, classes, d->label_count);
    free(classes);
    return events_flush(j->events);
}

static void start_events(journal *j)
{
    status s = events_open(j->o.folder, &j->events);
    if (s == OK) s = add_classes(j);
    if (s != OK) give_up_events(j);
}

/* ---- the moments of a training ---- */

journal *journal_start(const journal_options *o)
{
    journal *j;
    if (!o->tensorboard || array_new(&j, 1) != OK) return NULL;
    j->o = *o;
    if (o->tensorboard) start_events(j);
    return j;
}

void journal_epoch(journal *j, const results_row *row, const double lr[UPDATE_GROUPS])
{
    if (!j || !j->events) return;
    events_epoch(j->events, row, lr);
    flush_events(j);
}

void journal_end(journal **out)
{
    journal *j = *out;
    if (!j) return;
    events_close(&j->events);
    free(j);
    *out = NULL;
}
