#include "CMixers.h"

#include "primitives.h"

CLONES void cmixer_multiply(float *y, const float *a, const float *b, size_t count) {
    IN_PLACE
    for (size_t i = 0; i < count; i++) y[i] = a[i] * b[i];
}

/// The row that a tap reads, `before` rows before row t; null before the sequence where there is no window.
INLINE const float *tap_row(
    const float *x, size_t x_stride, const float *window, size_t w_stride, size_t kernel, size_t t, size_t before) {
    if (before <= t) return x + (t - before) * x_stride;
    return window ? window + (kernel - 1 + t - before) * w_stride : 0;
}

/// y = b + sum over taps of w * x, and without those whose rows are null.
INLINE void convolve_row(
    const float *x, size_t x_stride, const float *window, size_t w_stride, const float *w, const float *b, float *y,
    size_t channels, size_t kernel, size_t t) {
    if (kernel == 4 && t >= 3) {
        const float *r = x + t * x_stride;
        const float *r0 = r - 3 * x_stride, *r1 = r - 2 * x_stride, *r2 = r - x_stride;
        const float *w1 = w + w_stride, *w2 = w + 2 * w_stride, *w3 = w + 3 * w_stride;
        for (size_t c = 0; c < channels; c++) {
            y[c] = (b ? b[c] : 0.0f) + w[c] * r0[c] + w1[c] * r1[c] + w2[c] * r2[c] + w3[c] * r[c];
        }
        return;
    }
    if (kernel == 3 && t >= 2) {
        const float *r = x + t * x_stride;
        const float *r0 = r - 2 * x_stride, *r1 = r - x_stride;
        const float *w1 = w + w_stride, *w2 = w + 2 * w_stride;
        for (size_t c = 0; c < channels; c++) {
            y[c] = (b ? b[c] : 0.0f) + w[c] * r0[c] + w1[c] * r1[c] + w2[c] * r[c];
        }
        return;
    }
    for (size_t c = 0; c < channels; c++) y[c] = b ? b[c] : 0.0f;
    for (size_t j = 0; j < kernel; j++) {
        const float *row = tap_row(x, x_stride, window, w_stride, kernel, t, kernel - 1 - j);
        const float *tap = w + j * w_stride;
        if (!row) continue;
        for (size_t c = 0; c < channels; c++) y[c] += tap[c] * row[c];
    }
}

CLONES void cmixer_convolution(
    const float *x, size_t x_stride, const float *window, size_t w_stride, const float *w, const float *b, float *y,
    size_t y_stride, size_t rows, size_t channels, size_t kernel, int silu) {
    for (size_t t = 0; t < rows; t++) {
        float *out = y + t * y_stride;
        convolve_row(x, x_stride, window, w_stride, w, b, out, channels, kernel, t);
        if (!silu) continue;
        IN_PLACE
        for (size_t c = 0; c < channels; c++) out[c] *= sigmoid(out[c]);
    }
}

CLONES void cmixer_convolution_backward(
    const float *x, size_t x_stride, size_t w_stride, const float *w, const float *b, float *dy, size_t dy_stride,
    float *dx, size_t dx_stride, float *dw, float *db, size_t rows, size_t channels, size_t kernel, int silu) {
    for (size_t t = 0; t < rows; t++) {
        float *slope = dy + t * dy_stride;
        if (silu) {
            // dx's row, which is not written yet, has room for what the activation saw.
            float *given = dx + t * dx_stride;
            convolve_row(x, x_stride, 0, w_stride, w, b, given, channels, kernel, t);
            for (size_t c = 0; c < channels; c++) {
                float s = sigmoid(given[c]);
                slope[c] *= s * (1.0f + given[c] * (1.0f - s));
            }
        }
        if (db) {
            for (size_t c = 0; c < channels; c++) db[c] += slope[c];
        }
        if (dw) {
            for (size_t j = 0; j < kernel; j++) {
                const float *row = tap_row(x, x_stride, 0, w_stride, kernel, t, kernel - 1 - j);
                float *sum = dw + j * w_stride;
                if (!row) continue;
                for (size_t c = 0; c < channels; c++) sum[c] += slope[c] * row[c];
            }
        }
    }
    for (size_t t = 0; t < rows; t++) {
        float *out = dx + t * dx_stride;
        for (size_t c = 0; c < channels; c++) out[c] = 0.0f;
        for (size_t j = 0; j < kernel; j++) {
            size_t later = t + kernel - 1 - j;
            if (later >= rows) continue;
            const float *slope = dy + later * dy_stride;
            const float *tap = w + j * w_stride;
            for (size_t c = 0; c < channels; c++) out[c] += tap[c] * slope[c];
        }
    }
}

CLONES void cmixer_scale_rows(
    float *y, size_t y_stride, const float *x, size_t x_stride, const float *factors, size_t rows, size_t columns) {
    for (size_t t = 0; t < rows; t++) {
        float factor = factors[t];
        const float *in = x + t * x_stride;
        float *out = y + t * y_stride;
        IN_PLACE
        for (size_t c = 0; c < columns; c++) out[c] = factor * in[c];
    }
}

CLONES void cmixer_delta_targets(
    float *r, size_t r_stride, const float *v, size_t v_stride, const float *grown, const float *strengths, size_t rows,
    size_t columns) {
    for (size_t t = 0; t < rows; t++) {
        float *row = r + t * r_stride;
        const float *value = v + t * v_stride;
        for (size_t c = 0; c < columns; c++) row[c] = strengths[t] * (value[c] - grown[t] * row[c]);
    }
}

CLONES void cmixer_decays(float *gamma, const float *sums, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float *row = gamma + i * n;
        for (size_t j = 0; j <= i; j++) row[j] = exponential(sums[i] - sums[j]);
        for (size_t j = i + 1; j < n; j++) row[j] = 0.0f;
    }
}

CLONES void cmixer_scores(
    float *scores, const float *a, const float *gamma, const float *factors, size_t n, int strict) {
    for (size_t i = 0; i < n; i++) {
        size_t end = strict ? i : i + 1;
        float factor = factors ? factors[i] : 1.0f;
        for (size_t j = 0; j < end; j++) scores[i * n + j] = factor * gamma[i * n + j] * a[i * n + j];
        for (size_t j = end; j < n; j++) scores[i * n + j] = 0.0f;
    }
}

CLONES void cmixer_scores_backward(
    float *slopes, const float *a, const float *gamma, const float *factors, float *d_sums, float *d_factors, size_t n,
    int strict) {
    for (size_t i = 0; i < n; i++) {
        size_t end = strict ? i : i + 1;
        float factor = factors ? factors[i] : 1.0f;
        float *slope = slopes + i * n;
        float total = 0.0f;
        for (size_t j = 0; j < end; j++) {
            float decayed = slope[j] * gamma[i * n + j];
            float share = decayed * a[i * n + j];
            total += share;
            d_sums[j] -= factor * share;
            slope[j] = factor * decayed;
        }
        for (size_t j = end; j < n; j++) slope[j] = 0.0f;
        d_sums[i] += factor * total;
        if (d_factors) d_factors[i] += total;
    }
}

CLONES void cmixer_recurrence(
    const float *q, size_t q_stride, const float *k, size_t k_stride, const float *v, size_t v_stride,
    const float *decays, const float *strengths, size_t heads, float *s, float *o, size_t o_stride, size_t rows,
    size_t key_dimension, size_t value_dimension) {
    for (size_t t = 0; t < rows; t++) {
        const float *query = q + t * q_stride, *key = k + t * k_stride, *value = v + t * v_stride;
        // What the matrix has for the key goes where the result will be.
        float *out = o + t * o_stride;
        float decay = expf(decays[t * heads]);
        for (size_t c = 0; c < value_dimension; c++) out[c] = 0.0f;
        for (size_t r = 0; r < key_dimension; r++) {
            float *row = s + r * value_dimension;
            for (size_t c = 0; c < value_dimension; c++) {
                row[c] *= decay;
                out[c] += key[r] * row[c];
            }
        }
        float strength = strengths ? strengths[t * heads] : 1.0f;
        for (size_t c = 0; c < value_dimension; c++) {
            out[c] = strengths ? strength * (value[c] - out[c]) : value[c];
        }
        for (size_t r = 0; r < key_dimension; r++) {
            float *row = s + r * value_dimension;
            for (size_t c = 0; c < value_dimension; c++) row[c] += key[r] * out[c];
        }
        for (size_t c = 0; c < value_dimension; c++) out[c] = 0.0f;
        for (size_t r = 0; r < key_dimension; r++) {
            const float *row = s + r * value_dimension;
            for (size_t c = 0; c < value_dimension; c++) out[c] += query[r] * row[c];
        }
    }
}

CLONES void cmixer_l2_norm(float *x, size_t heads, size_t dimension, float scale, float epsilon, float *inverse) {
    for (size_t h = 0; h < heads; h++) {
        float *head = x + h * dimension;
        float factor = scale / sqrtf(dot_product(head, head, dimension) + epsilon);
        for (size_t c = 0; c < dimension; c++) head[c] *= factor;
        if (inverse) inverse[h] = factor;
    }
}

CLONES void cmixer_l2_norm_backward(
    const float *y, float *dy, size_t heads, size_t dimension, float scale, const float *inverse) {
    for (size_t h = 0; h < heads; h++) {
        const float *head = y + h * dimension;
        float *slope = dy + h * dimension;
        float share = dot_product(head, slope, dimension) / (scale * scale);
        for (size_t c = 0; c < dimension; c++) slope[c] = inverse[h] * (slope[c] - share * head[c]);
    }
}
