/* loss.h - what the parts of the loss folder share. */
#ifndef TESTS_PARITY_LOSS_H
#define TESTS_PARITY_LOSS_H

#include "tests/parity/parity.h"

/* Within a case of folder loss/case<k>, described by its case.json: check p<i>.npy and param_grads/ with the whole network. */
void parity_loss_network(parity *p, const char *folder, const yaml_node *about);

#endif
