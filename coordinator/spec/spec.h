/* spec.h - what a run is: fixed when it starts, kept in its store, the same for all of its candidates.
 *
 * A run folder goes on only with the same specification. What may change between two starts is no part of it: the number of
 * generations, workers, addresses, time-outs. */
#ifndef COORDINATOR_SPEC_H
#define COORDINATOR_SPEC_H

#include "common/data_yaml.h"
#include "common/train_options.h"
#include "coordinator/evolve/breeding.h"
#include "coordinator/options.h"
#include "coordinator/evolve/pruning.h"
#include "coordinator/store/store.h"

typedef struct run_spec {
    /* evolution */
    hyp_space space;               /* the hyps that evolve */
    double base[HYP_MAX];          /* their start, in the order of the space */
    double fitness[FITNESS_TERMS]; /* weights of P, R, mAP@.5, mAP@.5:.95 */
    const strategy *strategy;
    breeding_options breeding;
    uint64_t seed;       /* of breeding */
    prune_options prune; /* which candidates are stopped early */

    /* training */
    train_options train;  /* complete; data, cfg, hyp, weights as they were given; precision may be auto */
    bool external;        /* workers bring a trainer of their own: `worker --trainer` */
    hyp_space trained;    /* the hyps that a trainer takes: those of YOLOv5, an external one's may be others */
    double hyps[HYP_MAX]; /* of `trained`; a candidate's hyps replace them key by key */
    char *data_yaml,
        *data_root;   /* text, "": an external trainer's own; the folder (absolute) that relative paths start from */
    char *model_yaml; /* text; "" when the model is that of the weights, or an external trainer's own */
    char *weights_path, *weights_hash; /* absolute; "" from scratch */
    int64_t weights_bytes;
    bool has_data; /* the digests are known: the data set could be read here, or a worker told them */
    data_digest digests[DATA_SPLITS]; /* of train and val */
} run_spec;

/* From the command line: reads the files that it names. Errors name the option or the file. */
status spec_make(const coordinator_options *o, const train_options *train, const bool *train_given, run_spec *out);
/* Write into a new run's store; read it back. */
status spec_save(store *s, const run_spec *spec);
status spec_load(store *s, run_spec *out);
/* Write the part that workers settle: digests and precision. */
status spec_save_settled(store *s, const run_spec *spec);
/* OK when both are the same run, else ERR_REFUSED with the first difference in words. A precision that was `auto` when it was
 * asked for and has been settled since is no difference. */
status spec_compare(const run_spec *kept, const run_spec *asked);
void spec_free(run_spec *spec);

/* Does the space have every hyperparameter of the trainer? With --meta it may have a part of them. */
bool spec_evolves_all(const run_spec *spec);
/* A whole set of hyps: the run's, with those of the space in their places. As many values as spec->trained has rows. */
void spec_whole_hyps(const run_spec *spec, const double *hyps, double *whole);
/* The file in a run folder that has the best hyps as `train --hyp` takes them. */
const char *spec_best_file(const run_spec *spec);

#endif
