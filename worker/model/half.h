/* half.h - 16-bit floats, as files store them. */
#ifndef MODEL_HALF_H
#define MODEL_HALF_H

#include <stdint.h>

/* IEEE half precision. From float it is rounded to nearest, half to even; too large becomes infinite, NaN stays NaN. */
float half_to_float(uint16_t half);
uint16_t half_from_float(float value);
/* The upper half of a float. */
float bfloat16_to_float(uint16_t bits);

#endif
