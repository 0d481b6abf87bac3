#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/ops/kernels/microkernels.h"
#include "core/ops/ops.h"

/// The exact path (exact_ops.h) one number at a time: what every set of kernels must give, to the last bit. For tests
/// only.
namespace folio::reference::exact {

/// To the nearest integer, ties to even.
inline std::int32_t nearest(float x) { return static_cast<std::int32_t>(std::nearbyintf(x)); }

/// Sixteen strided sums, then halves onto halves.
template <class F>
float sum(int n, F term) {
    float lane[16] = {};
    for (int i = 0; i < n; ++i) lane[i % 16] += term(i);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}

/// 2^x for |x| <= 100: integer attention's own.
inline float exp2(float x) {
    const float n = std::nearbyintf(x), f = x - n;
    const float p =
        (((9.570101276e-3f * f + 5.591785908e-2f) * f + 0.2402474433f) * f + 0.6931217909f) * f + 0.9999992847f;
    return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + (static_cast<std::int32_t>(n) << 23));
}

/// e^x for |x| <= 87, by Cephes' polynomial.
inline float exp(float x) {
    const float n = std::nearbyintf(x * 1.44269504088896341f);
    float r = n * -0.693359375f + x;
    r = n * 2.12194440e-4f + r;
    float p = 1.9875691500e-4f;
    for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = p * r + coefficient;
    p = p * (r * r) + (r + 1.f);
    return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + (static_cast<std::int32_t>(n) << 23));
}

/// in [n] ~ (out - zero) * scale, out in 0 .. 127.
struct Quantised {
    std::vector<std::int32_t> out;
    std::int32_t zero;
    float scale;
};

inline Quantised quantise(const float* in, int n) {
    float low = 0, high = 0;
    for (int i = 0; i < n; ++i) low = std::min(low, in[i]), high = std::max(high, in[i]);
    const float range = high - low, inverse = range > 0 ? 127.f / range : 0.f;
    Quantised result{{}, nearest(-low * inverse), range / 127.f};
    for (int i = 0; i < n; ++i) result.out.push_back(std::clamp(nearest(in[i] * inverse) + result.zero, 0, 127));
    return result;
}

/// in [n] ~ out * scale, |out| at most wide_levels(n).
inline Quantised quantise_wide(const float* in, int n) {
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::abs(in[i]));
    const auto levels = static_cast<float>(wide_levels(n));
    Quantised result{{}, 0, largest > 0 ? largest / levels : 0.f};
    for (int i = 0; i < n; ++i) result.out.push_back(largest > 0 ? nearest(in[i] * (levels / largest)) : 0);
    return result;
}

/// out [R, N] = epilogue(in [R, K] W^T), W [N, K] s8 with a scale for each of its rows; `in` rounded to 7 bits, or
/// where `wide_input` to 16.
inline void linear(Matrix out, Matrix in, const std::int8_t* weights, const float* scales, const Epilogue& epilogue,
                   bool wide_input = false) {
    for (int r = 0; r < in.rows; ++r) {
        const Quantised row = wide_input ? quantise_wide(in.row(r), in.cols) : quantise(in.row(r), in.cols);
        for (int n = 0; n < out.cols; ++n) {
            std::int32_t product = 0;
            for (int k = 0; k < in.cols; ++k)
                product += (row.out[static_cast<std::size_t>(k)] - row.zero) * weights[n * in.cols + k];
            const float value = static_cast<float>(product) * scales[n] * row.scale;
            const float positive = std::max(0.f, value);
            switch (epilogue.kind) {
                case Epilogue::Kind::store: out.row(r)[n] = value; break;
                case Epilogue::Kind::relu2: out.row(r)[n] = positive * positive; break;
                case Epilogue::Kind::residual: out.row(r)[n] = epilogue.residual.row(r)[n] + value; break;
            }
        }
    }
}

inline void rms_norm(float* out, const float* in, int n, float eps) {
    const float squares = sum(n, [&](int i) { return in[i] * in[i]; });
    const float inverse = 1.f / std::sqrt(squares / static_cast<float>(n) + eps) + (squares - squares);
    for (int i = 0; i < n; ++i) out[i] = in[i] * inverse;
}

inline void rope_qk_norm(Matrix qkv, const float* rope, const AttentionShape& heads, float eps) {
    const int d = heads.head_dim, half = d / 2;
    for (int r = 0; r < qkv.rows; ++r) {
        const float* turn = rope + r % heads.length * d;
        for (int h = 0; h < 2 * heads.n_head; ++h) {
            float* x = qkv.row(r) + h * d;
            for (int i = 0; i < half; ++i) {
                const float a = x[i], b = x[half + i], cosine = turn[i], sine = turn[half + i];
                x[i] = a * cosine + b * sine;
                x[half + i] = b * cosine - a * sine;
            }
            rms_norm(x, x, d, eps);
        }
    }
}

/// In integers where the model never sees more than 1,024 positions, else in f32 with every sum over k in order.
inline void attention(Matrix out, Matrix qkv, const AttentionShape& heads) {
    const int d = heads.head_dim, d_model = heads.n_head * d;
    const bool integers = heads.max_length <= 1024 && d <= 1024;
    const float factor = std::floor(32760.f / std::sqrt(static_cast<float>(d)));
    const double root = std::sqrt(static_cast<double>(d));
    const float scale =
        static_cast<float>(integers ? 1.4426950408889634 / (static_cast<double>(factor) * factor * root) : 1 / root);
    const int n_cached = qkv.rows - out.rows;  // one sequence, where not 0
    for (int r = n_cached; r < qkv.rows; ++r) {
        const int first = r - r % heads.length, visible = heads.causal ? r - first + 1 : heads.length;
        for (int h = 0; h < heads.n_head; ++h) {
            const float* q = qkv.row(r) + h * d;
            std::vector<float> e, value_scale, weighted;
            std::vector<std::vector<std::int32_t>> values;
            for (int s = 0; s < visible; ++s) {
                const float *k = qkv.row(first + s) + d_model + h * d, *v = qkv.row(first + s) + 2 * d_model + h * d;
                std::int32_t whole = 0;
                float dot = 0, largest = 0;
                for (int c = 0; c < d; ++c) {
                    whole += nearest(q[c] * factor) * nearest(k[c] * factor);
                    dot += q[c] * k[c];
                    largest = std::max(largest, std::abs(v[c]));
                }
                e.push_back(integers ? exp2(static_cast<float>(whole) * scale) : exp(dot * scale));
                value_scale.push_back(largest / 1023.f);
                weighted.push_back(e.back() * value_scale.back());
                values.emplace_back();
                for (int c = 0; c < d; ++c) values.back().push_back(nearest(v[c] * (1023.f / largest)));
            }
            const float total = sum(visible, [&](int s) { return e[static_cast<std::size_t>(s)]; });
            const float most = *std::max_element(weighted.begin(), weighted.end());
            for (int c = 0; c < d; ++c) {
                std::int32_t whole = 0;
                float in_floats = 0;
                for (int s = 0; s < visible; ++s) {
                    const auto at = static_cast<std::size_t>(s);
                    whole += nearest(weighted[at] * (2047.f / most)) * values[at][static_cast<std::size_t>(c)];
                    in_floats += e[at] * qkv.row(first + s)[2 * d_model + h * d + c];
                }
                out.row(r - n_cached)[h * d + c] =
                    integers ? static_cast<float>(whole) * (most / (2047.f * total)) : in_floats * (1.f / total);
            }
        }
    }
}

}  // namespace folio::reference::exact
