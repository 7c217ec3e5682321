#include "common/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Powers of ten that a double holds exactly. */
static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { POWERS = sizeof powers / sizeof *powers };

/* value * 10^power, rounded once. */
static double scaled(double value, int power)
{
    return power >= 0 ? value * powers[power] : value / powers[-power];
}

/* Round to whole units of 10^-power. Scaling is off by one part in 2^53 at most, so that below 2^31 what is not near the middle of two
 * units rounds as the exact value does; and a whole number over a power of ten that are both exact is the double that its text is read
 * as. False: not sure. */
static bool round_units(double value, int power, double *out)
{
    const double most = 2147483648.0, near = 1e-5;
    if (power <= -POWERS || power >= POWERS) return false;
    double units = scaled(value, power), whole = nearbyint(units);
    if (!(fabs(units) < most) || fabs(fabs(units - whole) - 0.5) < near) return false;
    *out = copysign(scaled(whole, -power), value);
    return true;
}

/* For values that are not near the ends of what there is: 1e308 has 309 digits. */
static double through_text(const char *format, double value, int count)
{
    char text[400];
    int length = snprintf(text, sizeof text, format, count, value);
    return length > 0 && (size_t)length < sizeof text ? strtod(text, NULL) : value;
}

double decimal_round(double value, int places)
{
    double rounded;
    if (places < 0 || !isfinite(value)) return value;
    return round_units(value, places, &rounded) ? rounded : through_text("%.*f", value, places);
}

double decimal_shorten(double value, int digits)
{
    double rounded, size = fabs(value);
    if (!isfinite(value) || value == 0) return value;
    int power = digits - 1 -
                (int)floor(log10(size)); /* beside a power of ten it may be off by one: then it is not sure below */
    bool sure = power > -POWERS && power < POWERS && digits > 0 && digits < 10;
    if (sure) {
        double units = scaled(size, power);
        sure = units >= powers[digits - 1] && units < powers[digits] && round_units(value, power, &rounded);
    }
    return sure ? rounded : through_text("%.*g", value, digits);
}
