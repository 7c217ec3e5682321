/* load.h - find a backend and load it. */
#ifndef BACKEND_LOAD_H
#define BACKEND_LOAD_H

#include "worker/backend/backend.h"

/* Load backend_NAME.so from beside the running program, or from ../lib/mendel of it. Loading it again gives the same table.
 * ERR_NOT_FOUND with the places, ERR_UNSUPPORTED when it was built for another version. The table lives as long as the
 * process. Set the number of threads and the affinity before the first call: OpenMP reads them once. */
status backend_load(const char *name, const backend_ops **out);

#endif
