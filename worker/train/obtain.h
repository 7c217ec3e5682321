/* obtain.h - what a training needs and is not here: official weights, and a data set whose yaml says where it comes from.
 *
 * For trainings that a user starts. Candidates never come here: workers bring them their weights, and run nothing that a data yaml says.
 *
 * Source: attempt_download() of utils/google_utils.py, check_dataset() of utils/general.py. Mended: what was only half downloaded or
 * unpacked is never taken for whole; an archive may not leave its folder; scripts need a word of the user. */
#ifndef TRAIN_OBTAIN_H
#define TRAIN_OBTAIN_H

#include <stdbool.h>

#include "common/status.h"

/* Where official weights are: the environment's MENDEL_WEIGHTS_URL, else their release. Borrowed. */
const char *obtain_weights_url(void);

/* `name` is --weights: when it is that of official weights (yolov5s.pt, m, l or x) and there is no such file, neither there nor below
 * the working directory, it is downloaded from `base`/file. Anything else is left to whoever reads the file. Errors say what can be
 * done without a network. */
status obtain_weights(const char *name, const char *base);

/* When train or val of this data yaml is not there and it has a `download`: a URL is a zip archive, unpacked where the yaml looks for
 * the data set, else into the folder above the working directory as the reference has it; anything else is a shell script, run only
 * with `scripts`. What the yaml lacks otherwise is left to data_yaml_read. ERR_REFUSED for a script without that. */
status obtain_data(const char *yaml_path, bool scripts);

#endif
