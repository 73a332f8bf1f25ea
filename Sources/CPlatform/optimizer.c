#include "CPlatform.h"

#include <math.h>

// AdamW and the norm of gradients. The same bytes on every processor: the order of sums is written out, no product is
// fused with a sum but where the reference fuses it.
#pragma STDC FP_CONTRACT OFF

// FMA brings AVX with it. The reference's moments are fused multiply-adds, so that elsewhere the slow ones of the C
// library keep the results the same.
#if defined(__x86_64__) && defined(__ELF__)
#define CLONES __attribute__((target_clones("fma", "default")))
#else
#define CLONES
#endif

CLONES void cplatform_adamw(
    float *restrict values, const float *restrict gradient, float *restrict first, float *restrict second,
    size_t count, const struct cplatform_adamw_step *step) {
    const struct cplatform_adamw_step s = *step;
    // The mean is interpolated from its nearer end, as the reference's lerp does it.
    const int near = fabsf(s.first_weight) < 0.5f;
    const float weight = near ? s.first_weight : s.first_weight - 1;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i] * s.gradient_scale;
        float m = __builtin_fmaf(weight, g - first[i], near ? first[i] : g);
        float v = __builtin_fmaf(s.second_weight * g, g, second[i] * s.second_decay);
        // Not sqrtf, which sets errno and keeps the loop from being vectorised.
        float denominator = __builtin_elementwise_sqrt(v) / s.second_correction + s.epsilon;
        first[i] = m;
        second[i] = v;
        values[i] = values[i] * s.value_decay + s.negative_rate * m / denominator;
    }
}

CLONES double cplatform_sum_of_squares(const float *values, size_t count) {
    double lanes[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        for (size_t j = 0; j < 16; j++) {
            double value = values[i + j];
            lanes[j] += value * value;
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        double value = values[i];
        lanes[j] += value * value;
    }
    double total = 0;
    for (size_t j = 0; j < 16; j++) total += lanes[j];
    return total;
}
