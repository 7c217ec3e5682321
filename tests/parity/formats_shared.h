/* formats_shared.h - what formats.c and formats_events.c have in common. */
#ifndef TESTS_PARITY_FORMATS_SHARED_H
#define TESTS_PARITY_FORMATS_SHARED_H

#include "tests/parity/parity.h"
#include "worker/train/results.h"

/* The recorded training (formats/results_input.json) at the end of an epoch; false, and a failed case, if it is not all there. */
bool formats_row(parity *p, const yaml_node *input, int64_t epoch, results_row *row);

/* The case of formats_events.c. */
void formats_run_tensorboard(parity *p);

#endif
