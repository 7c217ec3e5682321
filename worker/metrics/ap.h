/* ap.h - precision, recall and average precision from the statistics of a validation.
 *
 * Source: ap_per_class() and compute_ap() of utils/general.py, the end of test() in test.py; np.interp and np.trapz in
 * double. Detections of equal score keep their order. */
#ifndef METRICS_AP_H
#define METRICS_AP_H

#include "common/text.h"
#include "worker/metrics/matching.h"

enum { AP_CURVE_POINTS = 101 };

/* One class that has targets. */
typedef struct ap_class {
    int class;
    int64_t targets;
    double precision, recall, f1; /* at overlap .5 and score .1, read off the curves */
    double ap[MATCHING_OVERLAPS]; /* area under the precision envelope, 101 points */
    double mean;                  /* of ap */
    float curve[AP_CURVE_POINTS]; /* the precision envelope at overlap .5, at recall 0, .01, ... 1 */
} ap_class;

typedef struct ap_table {
    ap_class *rows; /* by rising class */
    size_t count;
} ap_table;

/* A row for every class among the targets; all 0 for one without detections. ERR_ARGUMENT for a target whose class is no
 * number from 0 up, ERR_MEMORY. The caller frees with ap_table_free. */
status ap_per_class(const matching *m, ap_table *out);
void ap_table_free(ap_table *t);

/* What validation returns. */
typedef struct ap_summary {
    ap_table table; /* empty when not one detection is right */
    int64_t images;
    int64_t targets;                      /* 0 when not one detection is right, as the reference prints it */
    double precision, recall, map50, map; /* means over the classes that have targets */
} ap_summary;

status ap_summarize(const matching *m, ap_summary *out);
void ap_summary_free(ap_summary *s);
/* The mAP of each of `classes` classes; that over all for those without targets. */
void ap_maps(const ap_summary *s, int classes, double *maps);

/* The heading, and the lines under it: all classes together, then, if asked for and there are several, one each that has
 * targets. `names` of all classes. */
void ap_heading(text *out);
void ap_print(const ap_summary *s, char *const *names, int classes, bool per_class, text *out);

#endif
