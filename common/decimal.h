/* decimal.h - numbers rounded to decimal digits, as printing them and reading them back rounds them, without doing so. */
#ifndef COMMON_DECIMAL_H
#define COMMON_DECIMAL_H

/* What is left of a value that is printed with `places` decimals (%.*f) and read again: the exact binary value rounded, half to even, as
 * Python's round() does. What is not finite passes unchanged, as everything does for places < 0. */
double decimal_round(double value, int places);

/* What is left of a value that is printed with `digits` significant ones, at least one (%.*g), and read again. */
double decimal_shorten(double value, int digits);

#endif
