#ifndef CTRANSFORMER_H
#define CTRANSFORMER_H

#include <stddef.h>
#include <stdint.h>

// Kernels of the transformer: each works on rows that the caller deals out to threads. Sums are kept in sixteen lanes that
// are added at the end, in an order that depends on the length alone. Values are single precision; all pointers are to
// values that do not overlap unless a comment says so.

/// y = x * rstd * (w + offset) with rstd = 1 / sqrt(mean(x^2) + epsilon), by rows; rstd may be null.
void ctransformer_rms_norm(
    const float *x, size_t x_stride, const float *w, float offset, float epsilon, float *y, size_t y_stride,
    float *rstd, size_t rows, size_t columns);
/// dx += d(rms_norm); dw += sum over rows of dy * x * rstd, where dw is not null. dx may be dy's memory: it is then
/// replaced instead of added to.
void ctransformer_rms_norm_backward(
    const float *x, size_t x_stride, const float *w, float offset, const float *rstd, const float *dy,
    size_t dy_stride, float *dx, size_t dx_stride, float *dw, size_t rows, size_t columns, int accumulate);

/// y = (x - mean) * rstd * w + b with rstd = 1 / sqrt(variance + epsilon), by rows; mean_rstd takes two values a row.
void ctransformer_layer_norm(
    const float *x, const float *w, const float *b, float epsilon, float *y, float *mean_rstd, size_t rows,
    size_t columns);
/// dx += d(layer_norm); dw and db are added to where they are not null.
void ctransformer_layer_norm_backward(
    const float *x, const float *w, const float *mean_rstd, const float *dy, float *dx, float *dw, float *db,
    size_t rows, size_t columns);

/// Rotates pairs of a row's values in place: (a, b) -> (a cos - b s, b cos + a s), s = sign * sin. A pair is (i, i +
/// pairs), or with `interleaved` (2i, 2i + 1).
void ctransformer_rotate(
    float *x, const float *cos, const float *sin, size_t pairs, float sign, int interleaved);

/// The gated activations of a feed-forward network.
enum { ctransformer_silu = 0, ctransformer_gelu_tanh = 1, ctransformer_clamped_swiglu = 2 };
/// out[i] = act(gate[i]) * up[i]; clamped: min(gate, limit) * sigmoid(alpha * gate) * (clamp(up, +-limit) + 1).
void ctransformer_glu(
    int kind, float alpha, float limit, const float *gate, const float *up, float *out, size_t count);
/// dgate and dup from dout; they may be the memory of gate and up.
void ctransformer_glu_backward(
    int kind, float alpha, float limit, const float *gate, const float *up, const float *dout, float *dgate,
    float *dup, size_t count);

/// out[i] = max(x[i], 0)^2, the activation of networks without a gate.
void ctransformer_squared_relu(const float *x, float *out, size_t count);
/// The gradient of x, which may be x's memory.
void ctransformer_squared_relu_backward(const float *x, const float *dout, float *dx, size_t count);

/// Replaces s[0, count) by softmax(cap(scale * s)) over [low, high) and zeros elsewhere; `sink` takes part in the sum where
/// it is not null. cap(z) = softcap * tanh(z / softcap) where softcap is positive. Returns the log of the sum.
float ctransformer_softmax(
    float *s, size_t count, size_t low, size_t high, float scale, float softcap, const float *sink);
/// Replaces s by the probabilities again, given the log of the sum.
void ctransformer_softmax_again(
    float *s, size_t count, size_t low, size_t high, float scale, float softcap, float logsum);
/// ds = scale * p * (dp - dot) * cap'(z), in dp's place; z is given by p and the log of the sum.
void ctransformer_softmax_backward(
    const float *p, float *dp, size_t count, size_t low, size_t high, float dot, float scale, float softcap,
    float logsum);

/// log(sum(exp(x))).
float ctransformer_logsumexp(const float *x, size_t count);
/// x = exp(x - shift) * factor.
void ctransformer_exp_shifted(float *x, size_t count, float shift, float factor);
/// x = cap * tanh(x / cap).
void ctransformer_softcap(float *x, size_t count, float cap);

/// sum of a[i] * b[i].
float ctransformer_dot(const float *a, const float *b, size_t count);
/// y[i] += factor * x[i].
void ctransformer_add_scaled(float *y, const float *x, float factor, size_t count);
/// y[i] = factor * x[i]; y may be x.
void ctransformer_scale(float *y, const float *x, float factor, size_t count);
/// The largest value's index, the first of equal ones.
size_t ctransformer_argmax(const float *x, size_t count);

#endif
