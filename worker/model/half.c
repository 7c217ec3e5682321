#include "worker/model/half.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0) { /* 0 and denormals: the fraction counts 2^-24 */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 0x1f) return float_of(sign | 0x7f800000 | fraction << 13);
    return float_of(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

uint16_t half_from_float(float value)
{
    uint16_t sign = (uint16_t)(bits_of(value) >> 16 & 0x8000);
    float size = fabsf(value);
    if (isnan(value)) return sign | 0x7e00;
    if (size >= 65520) return sign | 0x7c00;                            /* what would round to 2^16 */
    if (size < 0x1p-14f) return sign | (uint16_t)rintf(size * 0x1p24f); /* exact but for the rounding wanted */
    uint32_t bits = bits_of(size) - ((127 - 15) << 23), rest = bits & 0x1fff, even = bits >> 13;
    if (rest > 0x1000 || (rest == 0x1000 && (even & 1))) even++; /* may carry into the exponent, which is right */
    return (uint16_t)(sign | even);
}

float bfloat16_to_float(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}
