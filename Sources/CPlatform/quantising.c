#include "CQuantising.h"
#include "clones.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

INLINE float value_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE float clamped(float value, float low, float high) {
    value = value < low ? low : value;
    return value > high ? high : value;
}

/// The code of a value within +-448: three bits of the mantissa, exponents from -6 on, then subnormal in steps of 2^-9.
INLINE uint8_t e4m3(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    // Adding 2^14 aligns the unit of the subnormal values with the last bit of the sum, which rounds to even.
    uint32_t small = bits_of(value_of(magnitude) + 16384.0f) - 0x46800000;
    uint32_t normal = (magnitude + 0x7FFFF + ((magnitude >> 20) & 1) - (120u << 23)) >> 20;
    return (uint8_t)(((bits >> 24) & 0x80) | (magnitude < 0x3C800000 ? small : normal));
}

/// The code of a value within +-6: one bit of the mantissa, exponents from 0 on, then 0.5 and 0.
INLINE uint8_t e2m1(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFF;
    uint32_t small = bits_of(value_of(magnitude) + 4194304.0f) - 0x4A800000;
    uint32_t normal = (magnitude + 0x1FFFFF + ((magnitude >> 22) & 1) - (126u << 23)) >> 22;
    return (uint8_t)(((bits >> 28) & 0x8) | (magnitude < 0x3F800000 ? small : normal));
}

/// A value within +-6 rounded to one that E2M1 has, without its sign.
INLINE float e2m1_magnitude(float value) {
    uint32_t magnitude = bits_of(value) & 0x7FFFFFFF;
    float small = (value_of(magnitude) + 4194304.0f) - 4194304.0f;
    float normal = value_of((magnitude + 0x1FFFFF + ((magnitude >> 22) & 1)) & 0xFFC00000);
    return magnitude < 0x3F800000 ? small : normal;
}

/// The whole number nearest to a value of less than 2^22, by the last bit of a sum that has no bits behind the point.
INLINE int32_t whole(float value) { return (int32_t)(bits_of(value + 12582912.0f) - 0x4B400000); }

/// Magnitudes have the order of their bits as whole numbers, NaN above all.
INLINE float largest_of(const float *x, size_t count, float start) {
    int32_t most = (int32_t)bits_of(start);
    for (size_t i = 0; i < count; i++) {
        int32_t magnitude = (int32_t)(bits_of(x[i]) & 0x7FFFFFFF);
        most = magnitude > most ? magnitude : most;
    }
    return value_of((uint32_t)most);
}

CLONES void cquantising_largest(const float *x, size_t count, size_t size, float *largest) {
    size_t g = 0, done = 0;
    // Sizes that are known are worth a loop of their own: what comes before and after the vectors costs as much as they do.
    if (size == 16) {
        for (; done + 16 <= count; done += 16, g++) largest[g] = largest_of(x + done, 16, largest[g]);
    } else if (size == 32) {
        for (; done + 32 <= count; done += 32, g++) largest[g] = largest_of(x + done, 32, largest[g]);
    } else if (size == 128) {
        for (; done + 128 <= count; done += 128, g++) largest[g] = largest_of(x + done, 128, largest[g]);
    }
    for (; done < count; done += size, g++) {
        size_t part = count - done < size ? count - done : size;
        largest[g] = largest_of(x + done, part, largest[g]);
    }
}

INLINE void encode_bytes(int kind, const float *x, float scale, size_t count, uint8_t *codes) {
    if (kind == cquantising_e4m3) {
        for (size_t i = 0; i < count; i++) codes[i] = e4m3(clamped(x[i] / scale, -448, 448));
    } else {
        for (size_t i = 0; i < count; i++) codes[i] = (uint8_t)whole(clamped(x[i] / scale, -128, 127));
    }
}

INLINE void encode_halves(int kind, const float *x, float scale, size_t count, uint8_t *codes) {
    enum { most = 256 };
    uint8_t halves[most];
    for (size_t done = 0; done < count; done += most) {
        size_t part = count - done < most ? count - done : most;
        if (kind == cquantising_e2m1) {
            for (size_t i = 0; i < part; i++) halves[i] = e2m1(clamped(x[done + i] / scale, -6, 6));
        } else {
            for (size_t i = 0; i < part; i++)
                halves[i] = (uint8_t)(whole(clamped(x[done + i] / scale, -8, 7)) + 8);
        }
        for (size_t i = 0; i < part / 2; i++) {
            uint16_t pair;
            memcpy(&pair, halves + 2 * i, 2);
            codes[done / 2 + i] = (uint8_t)((pair & 0xF) | (pair >> 4));
        }
    }
}

CLONES void cquantising_encode(
    int kind, const float *x, const float *scales, size_t count, size_t size, void *codes) {
    uint8_t *out = codes;
    int is_half = kind == cquantising_int4 || kind == cquantising_e2m1;
    size_t g = 0, done = 0;
    if (kind == cquantising_e2m1 && size == 16) {
        for (; done + 16 <= count; done += 16, g++)
            encode_halves(cquantising_e2m1, x + done, scales[g], 16, out + done / 2);
    } else if (kind == cquantising_e2m1 && size == 32) {
        for (; done + 32 <= count; done += 32, g++)
            encode_halves(cquantising_e2m1, x + done, scales[g], 32, out + done / 2);
    }
    for (; done < count; done += size, g++) {
        size_t part = count - done < size ? count - done : size;
        if (kind == cquantising_e4m3) {
            encode_bytes(cquantising_e4m3, x + done, scales[g], part, out + done);
        } else if (kind == cquantising_int8) {
            encode_bytes(cquantising_int8, x + done, scales[g], part, out + done);
        } else if (kind == cquantising_int4) {
            encode_halves(cquantising_int4, x + done, scales[g], part, out + done / 2);
        } else if (is_half) {
            encode_halves(cquantising_e2m1, x + done, scales[g], part, out + done / 2);
        }
    }
}

INLINE float error_of(int kind, const float *x, float scale, size_t count) {
    float sums[8] = {0};
    for (size_t i = 0; i + 8 <= count; i += 8) {
        for (size_t j = 0; j < 8; j++) {
            float ratio = x[i + j] / scale, missed;
            if (kind == cquantising_e2m1) {
                float magnitude = value_of(bits_of(x[i + j]) & 0x7FFFFFFF);
                missed = magnitude - scale * e2m1_magnitude(clamped(ratio, -6, 6));
            } else {
                missed = x[i + j] - scale * (float)whole(clamped(ratio, -8, 7));
            }
            sums[j] += missed * missed;
        }
    }
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

CLONES void cquantising_errors(
    int kind, const float *x, const float *scales, size_t count, size_t size, float *errors) {
    size_t g = 0;
    for (size_t done = 0; done < count; done += size, g++) {
        size_t part = count - done < size ? count - done : size;
        errors[g] = kind == cquantising_e2m1 ? error_of(cquantising_e2m1, x + done, scales[g], part)
                                             : error_of(cquantising_int4, x + done, scales[g], part);
    }
}
