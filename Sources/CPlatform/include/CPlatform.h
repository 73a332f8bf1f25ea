#ifndef CPLATFORM_H
#define CPLATFORM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CMemory.h"
#include "CMixers.h"
#include "CQuantised.h"
#include "CQuantising.h"
#include "CTransformer.h"

// Calls that Glibc hides from Swift (they need _GNU_SOURCE), each with the meaning of the call it is named for.

/// renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE).
int cplatform_rename_noreplace(const char *from, const char *to);
/// renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE).
int cplatform_rename_exchange(const char *from, const char *to);
/// fallocate(fd, 0, 0, length).
int cplatform_fallocate(int fd, off_t length);
/// sync_file_range with SYNC_FILE_RANGE_WRITE; with `wait`, until the range is written.
int cplatform_sync_range(int fd, off_t offset, off_t length, int wait);

/// IEEE half precision at any alignment to single; exact.
void cplatform_f16_to_f32(const void *from, float *to, size_t count);
/// Single precision to IEEE half, to nearest even; NaN stays NaN, too large becomes infinite.
void cplatform_f32_to_f16(const float *from, void *to, size_t count);

// Conversions and sums, at any alignment of what is not typed.

/// How many 16-bit values have all bits of `mask`.
size_t cplatform_count_masked_u16(const void *from, size_t count, uint16_t mask);
/// How many 32-bit values have all bits of `mask`.
size_t cplatform_count_masked_u32(const void *from, size_t count, uint32_t mask);
/// BF16 to double; exact.
void cplatform_bf16_to_f64(const void *from, double *to, size_t count);
/// Single precision to double; exact.
void cplatform_f32_to_f64(const void *from, double *to, size_t count);
/// Double to single, cut, with the last bit set where anything was cut off.
void cplatform_round_to_odd(const double *from, float *to, size_t count);
/// Single precision to BF16, to nearest even; NaN stays NaN. How many finite values became infinite.
size_t cplatform_f32_to_bf16(const float *from, void *to, size_t count);
/// to[i] += factor * from[i], each product rounded before it is added.
void cplatform_add_scaled_f64(double *to, const double *from, double factor, size_t count);

// Training.

/// The numbers of a step of AdamW that are the same for all elements of a parameter.
struct cplatform_adamw_step {
    /// What each gradient is multiplied by first: the clipping.
    float gradient_scale;
    /// 1 - beta1: the weight of the gradient in the mean.
    float first_weight;
    /// beta2 and 1 - beta2.
    float second_decay, second_weight;
    /// sqrt(1 - beta2^t).
    float second_correction;
    float epsilon;
    /// 1 - rate * decay.
    float value_decay;
    /// -rate / (1 - beta1^t).
    float negative_rate;
};

/// A step of AdamW on `count` elements: values and both moments are updated in place.
void cplatform_adamw(
    float *restrict values, const float *restrict gradient, float *restrict first, float *restrict second,
    size_t count, const struct cplatform_adamw_step *step);
/// The sum of squares in double, in an order that depends on `count` alone.
double cplatform_sum_of_squares(const float *values, size_t count);

/// Splits `count` elements of `width` bytes (1, 2, 4 or 8, little-endian) into `width` planes of `count` bytes, the most
/// significant byte's first; with `rotate` each element is rotated left by one bit before.
void cplatform_split_planes(const void *from, void *to, size_t count, int width, int rotate);
/// The inverse of `cplatform_split_planes`.
void cplatform_join_planes(const void *from, void *to, size_t count, int width, int rotate);
/// `to[i] ^= with[i]` for `count` bytes.
void cplatform_xor(void *to, const void *with, size_t count);

#endif
