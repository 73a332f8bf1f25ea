#define _GNU_SOURCE
#include "CPlatform.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

int cplatform_rename_noreplace(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int cplatform_rename_exchange(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
}

int cplatform_fallocate(int fd, off_t length) { return fallocate(fd, 0, 0, length); }

int cplatform_sync_range(int fd, off_t offset, off_t length, int wait) {
    unsigned flags = SYNC_FILE_RANGE_WRITE;
    if (wait) flags |= SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;
    return sync_file_range(fd, offset, length, flags);
}

static float widen_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023, bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | mantissa << 13;
        if (mantissa) bits |= 0x00400000u;
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        float value = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &value, 4);
        bits |= sign;
    }
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

static uint16_t narrow_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint16_t sign = (bits >> 16) & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00 | ((bits >> 13) & 0x3ff);
    if (bits >= 0x477ff000) return sign | 0x7c00;  // 65520 and above round to infinity
    if (bits < 0x38800000) {                       // below 2^-14: subnormal, in units of 2^-24
        float magnitude;
        memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f;  // aligns the unit with the last bit of a float in [0.5, 1): the addition rounds to even
        memcpy(&bits, &magnitude, 4);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xfff + ((bits >> 13) & 1);
    return sign | (uint16_t)((bits - 0x38000000) >> 13);
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) static size_t widen_blocks(const uint16_t *from, float *to, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
    return i;
}

__attribute__((target("avx,f16c"))) static size_t narrow_blocks(const float *from, uint16_t *to, size_t count) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    return i;
}
#endif

void cplatform_f16_to_f32(const void *from, float *to, size_t count) {
    size_t i = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("f16c")) i = widen_blocks(from, to, count);
#endif
    for (; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)from + 2 * i, 2);
        to[i] = widen_half(half);
    }
}

void cplatform_f32_to_f16(const float *from, void *to, size_t count) {
    size_t i = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("f16c")) i = narrow_blocks(from, to, count);
#endif
    for (; i < count; i++) {
        uint16_t half = narrow_half(from[i]);
        memcpy((char *)to + 2 * i, &half, 2);
    }
}
