#include "CPlatform.h"
#include "clones.h"

#include <string.h>

// Byte planes of elements: plane 0 has every element's most significant byte. With `rotate` the bits of an element are
// rotated left by one first, which puts the sign below the mantissa and the exponent into bytes of its own.

// An element that is one byte long is its own plane; rotating it would gain nothing.

#define SPLIT_AND_JOIN(bits, type)                                                                                     \
    CLONES static void split_##bits(                                                                                   \
        const unsigned char *restrict from, unsigned char *restrict to, size_t count, int rotate) {                    \
        enum { width = bits / 8 };                                                                                     \
        for (int plane = 0; plane < width; plane++) {                                                                  \
            unsigned char *restrict out = to + (size_t)plane * count;                                                  \
            int shift = bits - 8 - 8 * plane;                                                                          \
            if (rotate) {                                                                                              \
                for (size_t i = 0; i < count; i++) {                                                                   \
                    type value;                                                                                        \
                    memcpy(&value, from + width * i, width);                                                           \
                    value = (type)(value << 1 | value >> (bits - 1));                                                  \
                    out[i] = (unsigned char)(value >> shift);                                                          \
                }                                                                                                      \
            } else {                                                                                                   \
                for (size_t i = 0; i < count; i++) {                                                                   \
                    type value;                                                                                        \
                    memcpy(&value, from + width * i, width);                                                           \
                    out[i] = (unsigned char)(value >> shift);                                                          \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    CLONES static void join_##bits(                                                                                    \
        const unsigned char *restrict from, unsigned char *restrict to, size_t count, int rotate) {                    \
        enum { width = bits / 8 };                                                                                     \
        for (size_t i = 0; i < count; i++) {                                                                           \
            type value = 0;                                                                                            \
            for (int plane = 0; plane < width; plane++) value = (type)(value << 4 << 4 | from[(size_t)plane * count + i]); \
            type turned = (type)(value >> 1 | value << (bits - 1));                                                    \
            value = rotate ? turned : value;                                                                           \
            memcpy(to + width * i, &value, width);                                                                     \
        }                                                                                                              \
    }

SPLIT_AND_JOIN(16, uint16_t)
SPLIT_AND_JOIN(32, uint32_t)
SPLIT_AND_JOIN(64, uint64_t)

void cplatform_split_planes(const void *from, void *to, size_t count, int width, int rotate) {
    switch (width) {
    case 2: split_16(from, to, count, rotate); break;
    case 4: split_32(from, to, count, rotate); break;
    case 8: split_64(from, to, count, rotate); break;
    default: memcpy(to, from, count); break;
    }
}

void cplatform_join_planes(const void *from, void *to, size_t count, int width, int rotate) {
    switch (width) {
    case 2: join_16(from, to, count, rotate); break;
    case 4: join_32(from, to, count, rotate); break;
    case 8: join_64(from, to, count, rotate); break;
    default: memcpy(to, from, count); break;
    }
}

CLONES void cplatform_xor(void *to, const void *with, size_t count) {
    unsigned char *out = to;
    const unsigned char *in = with;
    for (size_t i = 0; i < count; i++) out[i] ^= in[i];
}
