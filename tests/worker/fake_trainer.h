/* fake_trainer.h - what fake_trainer does: the seed of its start message says which. */
#ifndef TESTS_FAKE_TRAINER_H
#define TESTS_FAKE_TRAINER_H

typedef enum fake {
    FAKE_DONE,       /* hello, an iteration, an epoch, done */
    FAKE_ABORT,      /* dies of SIGABRT */
    FAKE_KILLED,     /* dies of SIGKILL */
    FAKE_EXIT,       /* leaves with code 7 and without a word */
    FAKE_STALL,      /* hello, then nothing; ignores SIGTERM */
    FAKE_SPAM,       /* prints 10 MB in short and endless lines, then done */
    FAKE_DEAF,       /* trains for ever, whatever it is asked */
    FAKE_CLOSE,      /* closes its pipe and goes on living */
    FAKE_PARTIAL,    /* prints half a line, then fails */
    FAKE_TRAIN,      /* trains until it is asked to stop; checkpoints when asked */
    FAKE_NONSENSE,   /* sends bytes that are no message */
    FAKE_ORPHAN,     /* leaves a child that holds the pipe */
    FAKE_WAIT,       /* trains until a file `go` lies in its folder, then done */
    FAKE_NOT_FINITE, /* done with results that are not finite */
    FAKE_LINGER,     /* done, but does not leave */
    FAKE_NO_WEIGHTS, /* done, and leaves no weights, whatever it is asked */
} fake;

/* Its results when it is done: P R mAP@.5 mAP@.5:.95 box obj cls. */
#define FAKE_RESULTS                                                                                                   \
    {                                                                                                                  \
        0.5, 0.25, 0.125, 0.0625, 0.03, 0.02, 0.01                                                                     \
    }

/* What it leaves when it is asked for its weights, and when it is asked for a checkpoint. */
#define FAKE_WEIGHTS    "these are the weights of a detector"
#define FAKE_CHECKPOINT "a checkpoint"

#endif
