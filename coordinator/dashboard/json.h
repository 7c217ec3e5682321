/* json.h - JSON out of anything: texts that are no UTF-8, numbers that are none. */
#ifndef COORDINATOR_DASHBOARD_JSON_H
#define COORDINATOR_DASHBOARD_JSON_H

#include "common/text.h"

/* How many bytes of UTF-8 the next character has, 1 to 4; 0: what stands there is no UTF-8. `at` is not at the end. */
int utf8_length(const char *at);
/* Append a string in quotes; bytes that are no UTF-8 become U+FFFD. NULL is null. */
void json_string(text *out, const char *words);
/* Append the shortest of 15 or 17 digits that reads back as the same double; null when it is not finite. */
void json_number(text *out, double value);
/* Append [1, null, 2.5]. */
void json_numbers(text *out, const double *values, size_t count);

#endif
