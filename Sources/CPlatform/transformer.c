#include "CTransformer.h"

#include "primitives.h"

INLINE float maximum(const float *a, size_t count) {
    float lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] = a[i + l] > lane[l] ? a[i + l] : lane[l];
    }
    for (int l = 0; i < count; i++, l++) lane[l] = a[i] > lane[l] ? a[i] : lane[l];
    float best = lane[0];
    for (int l = 1; l < LANES; l++) best = lane[l] > best ? lane[l] : best;
    return best;
}

/// x = exp(x - shift), and the sum.
INLINE float exponentials(float *x, size_t count, float shift) {
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            float e = exponential(x[i + l] - shift);
            x[i + l] = e;
            lane[l] += e;
        }
    }
    for (int l = 0; i < count; i++, l++) {
        float e = exponential(x[i] - shift);
        x[i] = e;
        lane[l] += e;
    }
    return lanes_sum(lane);
}

CLONES void ctransformer_rms_norm(
    const float *x, size_t x_stride, const float *w, float offset, float epsilon, float *y, size_t y_stride,
    float *rstd, size_t rows, size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        const float *in = x + row * x_stride;
        float *out = y + row * y_stride;
        float scale = 1.0f / sqrtf(dot_product(in, in, columns) / (float)columns + epsilon);
        for (size_t i = 0; i < columns; i++) out[i] = in[i] * scale * (w[i] + offset);
        if (rstd) rstd[row] = scale;
    }
}

CLONES void ctransformer_rms_norm_backward(
    const float *x, size_t x_stride, const float *w, float offset, const float *rstd, const float *dy,
    size_t dy_stride, float *dx, size_t dx_stride, float *dw, size_t rows, size_t columns, int accumulate) {
    for (size_t row = 0; row < rows; row++) {
        const float *in = x + row * x_stride;
        const float *grad = dy + row * dy_stride;
        float *out = dx + row * dx_stride;
        float scale = rstd[row];
        float lane[LANES] = {0};
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES) {
            for (int l = 0; l < LANES; l++) lane[l] += grad[i + l] * (w[i + l] + offset) * in[i + l];
        }
        for (int l = 0; i < columns; i++, l++) lane[l] += grad[i] * (w[i] + offset) * in[i];
        float shared = lanes_sum(lane) * scale * scale * scale / (float)columns;
        if (dw) {
            for (size_t c = 0; c < columns; c++) dw[c] += grad[c] * in[c] * scale;
        }
        if (accumulate) {
            for (size_t c = 0; c < columns; c++) out[c] += grad[c] * (w[c] + offset) * scale - in[c] * shared;
        } else {
            for (size_t c = 0; c < columns; c++) out[c] = grad[c] * (w[c] + offset) * scale - in[c] * shared;
        }
    }
}

CLONES void ctransformer_layer_norm(
    const float *x, const float *w, const float *b, float epsilon, float *y, float *mean_rstd, size_t rows,
    size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        const float *in = x + row * columns;
        float *out = y + row * columns;
        float mean = plain_sum(in, columns) / (float)columns;
        for (size_t i = 0; i < columns; i++) out[i] = in[i] - mean;
        float scale = 1.0f / sqrtf(dot_product(out, out, columns) / (float)columns + epsilon);
        for (size_t i = 0; i < columns; i++) out[i] = out[i] * scale * w[i] + (b ? b[i] : 0.0f);
        if (mean_rstd) {
            mean_rstd[2 * row] = mean;
            mean_rstd[2 * row + 1] = scale;
        }
    }
}

CLONES void ctransformer_layer_norm_backward(
    const float *x, const float *w, const float *mean_rstd, const float *dy, float *dx, float *dw, float *db,
    size_t rows, size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        const float *in = x + row * columns;
        const float *grad = dy + row * columns;
        float *out = dx + row * columns;
        float mean = mean_rstd[2 * row], scale = mean_rstd[2 * row + 1];
        float lane[LANES] = {0}, other[LANES] = {0};
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES) {
            for (int l = 0; l < LANES; l++) {
                float g = grad[i + l] * w[i + l];
                lane[l] += g;
                other[l] += g * (in[i + l] - mean);
            }
        }
        for (int l = 0; i < columns; i++, l++) {
            float g = grad[i] * w[i];
            lane[l] += g;
            other[l] += g * (in[i] - mean);
        }
        float average = lanes_sum(lane) / (float)columns;
        float slope = lanes_sum(other) * scale * scale / (float)columns;
        if (dw) {
            for (size_t c = 0; c < columns; c++) dw[c] += grad[c] * (in[c] - mean) * scale;
        }
        if (db) {
            for (size_t c = 0; c < columns; c++) db[c] += grad[c];
        }
        for (size_t c = 0; c < columns; c++) {
            out[c] += scale * (grad[c] * w[c] - average - (in[c] - mean) * slope);
        }
    }
}

CLONES void ctransformer_rotate(
    float *x, const float *cos, const float *sin, size_t pairs, float sign, int interleaved) {
    if (interleaved) {
        for (size_t i = 0; i < pairs; i++) {
            float a = x[2 * i], b = x[2 * i + 1], s = sign * sin[i];
            x[2 * i] = a * cos[i] - b * s;
            x[2 * i + 1] = b * cos[i] + a * s;
        }
        return;
    }
    float *y = x + pairs;
    for (size_t i = 0; i < pairs; i++) {
        float a = x[i], b = y[i], s = sign * sin[i];
        x[i] = a * cos[i] - b * s;
        y[i] = b * cos[i] + a * s;
    }
}

#define GELU_A 0.7978845608028654f
#define GELU_B 0.044715f

CLONES void ctransformer_glu(
    int kind, float alpha, float limit, const float *gate, const float *up, float *out, size_t count) {
    switch (kind) {
    case ctransformer_silu:
        for (size_t i = 0; i < count; i++) out[i] = gate[i] * sigmoid(gate[i]) * up[i];
        break;
    case ctransformer_gelu_tanh:
        for (size_t i = 0; i < count; i++) {
            float x = gate[i];
            out[i] = 0.5f * x * (1.0f + tangent(GELU_A * (x + GELU_B * x * x * x))) * up[i];
        }
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            float g = gate[i] < limit ? gate[i] : limit;
            float u = up[i] < limit ? up[i] : limit;
            u = u > -limit ? u : -limit;
            out[i] = g * sigmoid(alpha * g) * (u + 1.0f);
        }
    }
}

CLONES void ctransformer_glu_backward(
    int kind, float alpha, float limit, const float *gate, const float *up, const float *dout, float *dgate,
    float *dup, size_t count) {
    switch (kind) {
    case ctransformer_silu:
        IN_PLACE for (size_t i = 0; i < count; i++) {
            float g = gate[i], u = up[i], d = dout[i];
            float s = sigmoid(g);
            dgate[i] = d * u * s * (1.0f + g * (1.0f - s));
            dup[i] = d * g * s;
        }
        break;
    case ctransformer_gelu_tanh:
        IN_PLACE for (size_t i = 0; i < count; i++) {
            float x = gate[i], u = up[i], d = dout[i];
            float t = tangent(GELU_A * (x + GELU_B * x * x * x));
            float slope = 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * GELU_A * (1.0f + 3.0f * GELU_B * x * x);
            dgate[i] = d * u * slope;
            dup[i] = d * 0.5f * x * (1.0f + t);
        }
        break;
    default:
        IN_PLACE for (size_t i = 0; i < count; i++) {
            float raw = gate[i], lift = up[i], d = dout[i];
            float g = raw < limit ? raw : limit;
            float u = lift < limit ? lift : limit;
            u = u > -limit ? u : -limit;
            float s = sigmoid(alpha * g);
            float slope = s * (1.0f + alpha * g * (1.0f - s));
            dgate[i] = raw <= limit ? d * (u + 1.0f) * slope : 0.0f;
            dup[i] = (lift <= limit && lift >= -limit) ? d * g * s : 0.0f;
        }
    }
}

CLONES float ctransformer_softmax(
    float *s, size_t count, size_t low, size_t high, float scale, float softcap, const float *sink) {
    float *x = s + low;
    size_t width = high - low;
    if (softcap > 0) {
        float inverse = scale / softcap;
        for (size_t i = 0; i < width; i++) x[i] = softcap * tangent(x[i] * inverse);
    } else {
        for (size_t i = 0; i < width; i++) x[i] *= scale;
    }
    float top = maximum(x, width);
    if (sink && *sink > top) top = *sink;
    float sum = exponentials(x, width, top);
    if (sink) sum += exponential(*sink - top);
    float inverse = 1.0f / sum;
    for (size_t i = 0; i < width; i++) x[i] *= inverse;
    if (low > 0) memset(s, 0, low * sizeof(float));
    if (high < count) memset(s + high, 0, (count - high) * sizeof(float));
    return top + logf(sum);
}

CLONES void ctransformer_softmax_again(
    float *s, size_t count, size_t low, size_t high, float scale, float softcap, float logsum) {
    float *x = s + low;
    size_t width = high - low;
    if (softcap > 0) {
        float inverse = scale / softcap;
        for (size_t i = 0; i < width; i++) x[i] = exponential(softcap * tangent(x[i] * inverse) - logsum);
    } else {
        for (size_t i = 0; i < width; i++) x[i] = exponential(x[i] * scale - logsum);
    }
    if (low > 0) memset(s, 0, low * sizeof(float));
    if (high < count) memset(s + high, 0, (count - high) * sizeof(float));
}

CLONES void ctransformer_softmax_backward(
    const float *p, float *dp, size_t count, size_t low, size_t high, float dot, float scale, float softcap,
    float logsum) {
    for (size_t i = 0; i < low; i++) dp[i] = 0;
    for (size_t i = high; i < count; i++) dp[i] = 0;
    if (softcap > 0) {
        // 1 - tanh^2, with softcap * tanh(z) = log p + logsum.
        for (size_t i = low; i < high; i++) {
            float t = p[i] > 0 ? (logf(p[i]) + logsum) / softcap : 0.0f;
            dp[i] = scale * p[i] * (dp[i] - dot) * (1.0f - t * t);
        }
        return;
    }
    for (size_t i = low; i < high; i++) dp[i] = scale * p[i] * (dp[i] - dot);
}

CLONES float ctransformer_logsumexp(const float *x, size_t count) {
    if (count == 0) return -INFINITY;
    float top = maximum(x, count);
    if (!(top > -INFINITY) || top == INFINITY) return top;
    float lane[LANES] = {0};
    double total = 0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] += exponential(x[i + l] - top);
        if ((i & 8191) == 0) {
            // Large vocabularies: lanes go to double before they lose digits.
            for (int l = 0; l < LANES; l++) {
                total += lane[l];
                lane[l] = 0;
            }
        }
    }
    for (int l = 0; i < count; i++, l++) lane[l] += exponential(x[i] - top);
    for (int l = 0; l < LANES; l++) total += lane[l];
    return top + (float)log(total);
}

CLONES void ctransformer_exp_shifted(float *x, size_t count, float shift, float factor) {
    for (size_t i = 0; i < count; i++) x[i] = exponential(x[i] - shift) * factor;
}

CLONES void ctransformer_softcap(float *x, size_t count, float cap) {
    float inverse = 1.0f / cap;
    for (size_t i = 0; i < count; i++) x[i] = cap * tangent(x[i] * inverse);
}

CLONES float ctransformer_dot(const float *a, const float *b, size_t count) { return dot_product(a, b, count); }

CLONES void ctransformer_add_scaled(float *y, const float *x, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}

CLONES void ctransformer_scale(float *y, const float *x, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = factor * x[i];
}

size_t ctransformer_argmax(const float *x, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (x[i] > x[best]) best = i;
    }
    return best;
}

CLONES void ctransformer_squared_relu(const float *x, float *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float kept = x[i] > 0.0f ? x[i] : 0.0f;
        out[i] = kept * kept;
    }
}

CLONES void ctransformer_squared_relu_backward(const float *x, const float *dout, float *dx, size_t count) {
    IN_PLACE
    for (size_t i = 0; i < count; i++) dx[i] = 2.0f * (x[i] > 0.0f ? x[i] : 0.0f) * dout[i];
}
