#include "CQuantised.h"
#include "clones.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

void cquantised_look_up_bytes(const uint8_t *from, const float *table, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = table[from[i]];
}

void cquantised_look_up_pairs(const uint8_t *from, const float *pairs, float *to, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) memcpy(to + 2 * i, pairs + 2 * (size_t)from[i], 8);
}

void cquantised_look_up_bits(
    const uint8_t *from, size_t size, size_t first, int bits, const float *table, float *to, size_t count) {
    const unsigned mask = (1u << bits) - 1;
    size_t position = first * (size_t)bits;
    for (size_t i = 0; i < count; i++, position += (size_t)bits) {
        size_t byte = position >> 3;
        unsigned window = from[byte];
        if (byte + 1 < size) window |= (unsigned)from[byte + 1] << 8;
        to[i] = table[(window >> (position & 7)) & mask];
    }
}

CLONES static void scale(float *x, size_t count, float factor) {
    for (size_t i = 0; i < count; i++) x[i] *= factor;
}

CLONES static void shift_scale(float *x, size_t count, float zero, float factor) {
    for (size_t i = 0; i < count; i++) x[i] = (x[i] - zero) * factor;
}

CLONES static void scale_add(float *x, size_t count, float factor, float bias) {
    for (size_t i = 0; i < count; i++) {
        float product = x[i] * factor;
        x[i] = product + bias;
    }
}

void cquantised_apply_groups(
    float *x, size_t first, size_t count, size_t group, const float *scales, const float *zeros, const float *biases) {
    size_t done = 0;
    while (done < count) {
        size_t g = (first + done) / group;
        size_t left = (g + 1) * group - (first + done);
        size_t part = left < count - done ? left : count - done;
        if (zeros) {
            shift_scale(x + done, part, zeros[g], scales[g]);
            if (biases) scale_add(x + done, part, 1, biases[g]);
        } else if (biases) {
            scale_add(x + done, part, scales[g], biases[g]);
        } else {
            scale(x + done, part, scales[g]);
        }
        done += part;
    }
}

void cquantised_apply_indexed(
    float *x, size_t count, const int32_t *index, const float *scales, const float *zeros, const float *biases) {
    for (size_t i = 0; i < count; i++) {
        size_t g = (size_t)index[i];
        float value = zeros ? x[i] - zeros[g] : x[i];
        value = value * scales[g];
        x[i] = biases ? value + biases[g] : value;
    }
}

void cquantised_transpose(
    const void *from, size_t from_stride, void *to, size_t to_stride, size_t rows, size_t columns) {
    const unsigned char *source = from;
    unsigned char *target = to;
    enum { tile = 16 };
    for (size_t r0 = 0; r0 < rows; r0 += tile) {
        size_t r1 = r0 + tile < rows ? r0 + tile : rows;
        for (size_t c0 = 0; c0 < columns; c0 += tile) {
            size_t c1 = c0 + tile < columns ? c0 + tile : columns;
            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++)
                    memcpy(target + 4 * (c * to_stride + r), source + 4 * (r * from_stride + c), 4);
        }
    }
}
