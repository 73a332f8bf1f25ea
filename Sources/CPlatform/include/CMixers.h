#ifndef CMIXERS_H
#define CMIXERS_H

#include <stddef.h>

// Kernels of the mixers that stand in attention's place. Rows are tokens; all values are single precision, and pointers are
// to values that do not overlap unless a comment says so.

/// y[i] = a[i] * b[i]; y may be a or b.
void cmixer_multiply(float *y, const float *a, const float *b, size_t count);

/// A convolution of each channel over the rows of a sequence: y[t] = sum over j of w[j] * x[t - kernel + 1 + j] + b, with
/// `silu` times the sigmoid of itself. Rows before the first are those of `window`, [kernel - 1, w_stride], zeros where it
/// is null; w is [kernel, w_stride]; b may be null.
void cmixer_convolution(
    const float *x, size_t x_stride, const float *window, size_t w_stride, const float *w, const float *b, float *y,
    size_t y_stride, size_t rows, size_t channels, size_t kernel, int silu);
/// dx = d(convolution) of a sequence without a window; dw, laid out as w, and db are added to where they are not null. dy is
/// replaced by the gradient before the activation.
void cmixer_convolution_backward(
    const float *x, size_t x_stride, size_t w_stride, const float *w, const float *b, float *dy, size_t dy_stride,
    float *dx, size_t dx_stride, float *dw, float *db, size_t rows, size_t channels, size_t kernel, int silu);

/// y[t] = factors[t] * x[t], by rows; y may be x.
void cmixer_scale_rows(
    float *y, size_t y_stride, const float *x, size_t x_stride, const float *factors, size_t rows, size_t columns);
/// r[t] = strengths[t] * (v[t] - grown[t] * r[t]), by rows.
void cmixer_delta_targets(
    float *r, size_t r_stride, const float *v, size_t v_stride, const float *grown, const float *strengths, size_t rows,
    size_t columns);

/// gamma[i, j] = exp(sums[i] - sums[j]) for j <= i and 0 beyond, of n rows and columns.
void cmixer_decays(float *gamma, const float *sums, size_t n);
/// scores[i, j] = factors[i] * gamma[i, j] * a[i, j] for j <= i, or with `strict` j < i, and 0 beyond; factors may be null.
void cmixer_scores(
    float *scores, const float *a, const float *gamma, const float *factors, size_t n, int strict);
/// From the gradient of the scores, in its place, that of a, and what there is for sums and factors, added to.
void cmixer_scores_backward(
    float *slopes, const float *a, const float *gamma, const float *factors, float *d_sums, float *d_factors, size_t n,
    int strict);

/// A head's recurrence, a row after the other: s = exp(decays[t]) s, d = v or with strengths b (v - k s), s += k d, o = q s;
/// decays and strengths lie `heads` apart, and s is [key_dimension, value_dimension].
void cmixer_recurrence(
    const float *q, size_t q_stride, const float *k, size_t k_stride, const float *v, size_t v_stride,
    const float *decays, const float *strengths, size_t heads, float *s, float *o, size_t o_stride, size_t rows,
    size_t key_dimension, size_t value_dimension);

/// x = x * scale / sqrt(sum(x^2) + epsilon), in place, for each of `heads` parts of a row; what x was multiplied by goes to
/// `inverse`.
void cmixer_l2_norm(float *x, size_t heads, size_t dimension, float scale, float epsilon, float *inverse);
/// The gradient of what went in, in dy's place; y is what came out.
void cmixer_l2_norm_backward(
    const float *y, float *dy, size_t heads, size_t dimension, float scale, const float *inverse);

#endif
