/* loss_network.h - the part of loss/ that needs the whole network. */
#ifndef TESTS_PARITY_LOSS_NETWORK_H
#define TESTS_PARITY_LOSS_NETWORK_H

#include "tests/parity/parity.h"

/* Compare the model's predictions p<i>.npy and the gradients of its parameters (param_grads/) in a folder of loss/ that has
 * them; the case is running. `about` is its case.json; the loss's parameters are those of the case. */
void parity_loss_network(parity *p, const char *case_folder, const yaml_node *about, const loss_parameters *parameters);

#endif
