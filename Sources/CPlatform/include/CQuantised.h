#ifndef CQUANTISED_H
#define CQUANTISED_H

#include <stddef.h>
#include <stdint.h>

// Kernels of quantised weights: codes to values and back. Values are single precision, and pointers are to values that do not
// overlap unless a comment says so.

/// to[i] = table[from[i]], a table of 256 values.
void cquantised_look_up_bytes(const uint8_t *from, const float *table, float *to, size_t count);
/// Two values for each byte: those of its low and its high four bits, by a table of 256 pairs.
void cquantised_look_up_pairs(const uint8_t *from, const float *pairs, float *to, size_t bytes);
/// to[i] = table[code first + i] of codes of `bits` <= 8 bits that lie one after the other from the lowest bit on; `from` has
/// `size` bytes, which hold all of them.
void cquantised_look_up_bits(
    const uint8_t *from, size_t size, size_t first, int bits, const float *table, float *to, size_t count);
/// x[i] = (x[i] - zeros[g]) * scales[g] + biases[g] in that order with g = (first + i) / group, each step rounded; zeros and
/// biases may be null.
void cquantised_apply_groups(
    float *x, size_t first, size_t count, size_t group, const float *scales, const float *zeros, const float *biases);
/// The same with g = index[i].
void cquantised_apply_indexed(
    float *x, size_t count, const int32_t *index, const float *scales, const float *zeros, const float *biases);
/// to[c, r] = from[r, c] of elements of four bytes; strides are in elements.
void cquantised_transpose(
    const void *from, size_t from_stride, void *to, size_t to_stride, size_t rows, size_t columns);

#endif
