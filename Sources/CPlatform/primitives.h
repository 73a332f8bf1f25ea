#ifndef PRIMITIVES_H
#define PRIMITIVES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// What several files of kernels have in common; each gets a copy that is compiled as the kernel is.

// Compiled for processors with AVX2 and FMA as well where the linker can choose at run time.
#if defined(__x86_64__) && defined(__ELF__)
#define CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))
#define LANES 16
/// A loop whose results may replace its inputs, element by element: it has no dependence but that of an element on itself,
/// which the compiler cannot see.
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety) interleave(enable)")

/// e^x to about one unit in the last place, without branches; 0 below the smallest normal number.
INLINE float exponential(float x) {
    // Comparisons that leave NaN as it is.
    float clipped = x > 88.0f ? 88.0f : x;
    clipped = clipped < -87.0f ? -87.0f : clipped;
    float shifted = clipped * 1.44269504088896341f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = clipped - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits - 0x4B400000u + 127u) << 23;
    float power;
    memcpy(&power, &bits, 4);
    float value = p * power;
    return x < -87.0f ? 0.0f : value;
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/// tanh, exact to rounding also near zero, where 1 - 2 / (e^2x + 1) would cancel.
INLINE float tangent(float x) {
    float big = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
    float s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s + -5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s + -3.33332819422e-1f;
    float small = p * s * x + x;
    float magnitude = x < 0 ? -x : x;
    return magnitude < 0.625f ? small : big;
}

INLINE float lanes_sum(const float *lane) {
    float half[8];
    for (int i = 0; i < 8; i++) half[i] = lane[i] + lane[i + 8];
    float quarter[4];
    for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

INLINE float dot_product(const float *a, const float *b, size_t count) {
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] += a[i + l] * b[i + l];
    }
    for (int l = 0; i < count; i++, l++) lane[l] += a[i] * b[i];
    return lanes_sum(lane);
}

INLINE float plain_sum(const float *a, size_t count) {
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] += a[i + l];
    }
    for (int l = 0; i < count; i++, l++) lane[l] += a[i];
    return lanes_sum(lane);
}

#endif
