#ifndef CQUANTISING_H
#define CQUANTISING_H

#include <stddef.h>
#include <stdint.h>

// Kernels that make codes of values. Values are in groups of `size` that lie one after the other, of which the last may be
// short, and each group has a scale; pointers are to values that do not overlap. What is rounded goes to the nearest, ties
// to even; what is beyond the largest code becomes the largest.

/// The kinds of codes: E4M3 and signed integers in a byte each; integers and E2M1 of four bits, two in a byte, the first in
/// the low half. Integers of four bits have 8 added.
enum { cquantising_e4m3 = 0, cquantising_int8 = 1, cquantising_int4 = 2, cquantising_e2m1 = 3 };

/// largest[g] becomes the largest of itself and the magnitudes of group g.
void cquantising_largest(const float *x, size_t count, size_t size, float *largest);
/// The codes of x / scale. Four bits: count and size must be even.
void cquantising_encode(int kind, const float *x, const float *scales, size_t count, size_t size, void *codes);
/// errors[g] = sum of (x - scale * code)^2 over group g, for codes of four bits; size must be a multiple of 8.
void cquantising_errors(int kind, const float *x, const float *scales, size_t count, size_t size, float *errors);

#endif
