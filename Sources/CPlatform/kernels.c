#include "CPlatform.h"
#include "clones.h"

#include <string.h>

CLONES size_t cplatform_count_masked_u16(const void *from, size_t count, uint16_t mask) {
    const unsigned char *bytes = from;
    size_t total = 0;
    for (size_t start = 0; start < count; start += 32768) {
        size_t end = start + 32768 < count ? start + 32768 : count;
        uint16_t lane = 0;  // in lanes of 16 bits, summed before they overflow
        for (size_t i = start; i < end; i++) {
            uint16_t bits;
            memcpy(&bits, bytes + 2 * i, 2);
            lane += (bits & mask) == mask;
        }
        total += lane;
    }
    return total;
}

CLONES size_t cplatform_count_masked_u32(const void *from, size_t count, uint32_t mask) {
    const unsigned char *bytes = from;
    size_t total = 0;
    for (size_t start = 0; start < count; start += 1 << 20) {
        size_t end = start + (1 << 20) < count ? start + (1 << 20) : count;
        uint32_t lane = 0;
        for (size_t i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, bytes + 4 * i, 4);
            lane += (bits & mask) == mask;
        }
        total += lane;
    }
    return total;
}

CLONES void cplatform_bf16_to_f64(const void *from, double *to, size_t count) {
    const unsigned char *bytes = from;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, 2);
        uint32_t bits = (uint32_t)half << 16;
        float value;
        memcpy(&value, &bits, 4);
        to[i] = value;
    }
}

CLONES void cplatform_f32_to_f64(const void *from, double *to, size_t count) {
    const unsigned char *bytes = from;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + 4 * i, 4);
        to[i] = value;
    }
}

CLONES void cplatform_round_to_odd(const double *from, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float nearest = (float)from[i];
        double back = nearest;
        uint32_t bits;
        memcpy(&bits, &nearest, 4);
        uint32_t inexact = (back < from[i]) | (back > from[i]);
        // Towards zero, then odd: of the two neighbours of the value, the one whose last bit is set.
        uint32_t beyond = (from[i] >= 0 ? back > from[i] : back < from[i]);
        bits = (bits - beyond) | inexact;
        memcpy(to + i, &bits, 4);
    }
}

CLONES size_t cplatform_f32_to_bf16(const float *from, void *to, size_t count) {
    unsigned char *out = to;
    uint32_t over = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, 4);
        uint32_t magnitude = bits & 0x7fffffff;
        uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        uint32_t quiet = (bits >> 16) | 0x40;
        uint16_t half = (uint16_t)(magnitude > 0x7f800000 ? quiet : rounded);
        memcpy(out + 2 * i, &half, 2);
        // Finite, and rounds to infinity: from halfway between the largest BF16 and the next power of two.
        over += (magnitude >= 0x7f7f8000) & (magnitude < 0x7f800000);
    }
    return over;
}

CLONES void cplatform_add_scaled_f64(double *to, const double *from, double factor, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] += factor * from[i];
}
