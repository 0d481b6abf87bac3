#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/normals.h"
#include "core/base/philox.h"
#include "core/ops/training_ops.h"

/// The reference implementation of every operation of `Ops` and `TrainingOps`: one loop nest an operation, with nothing
/// in mind but to be read. Templates on the scalar T: float, double (what the fast kernels are measured against) and
/// std::complex<double> (the tests differentiate every forward by complex step). Gradient contract and meaning of the
/// arguments: ops.h.
namespace folio::reference {

template <class T>
using View = MatrixView<T>;

/// The part of a number that comparisons use: all but the infinitesimal of a complex step.
inline float real_part(float x) { return x; }
inline double real_part(double x) { return x; }
inline double real_part(const std::complex<double>& x) { return x.real(); }

/// The factor of element [row, col] of a matrix `cols` wide: 0 or 1 / (1 - rate).
template <class T>
T dropout_factor(const Dropout& dropout, int row, int col, int cols) {
    if (dropout.rate == 0) return T(1);
    const std::uint64_t at = dropout.first_row + static_cast<std::uint64_t>(row);
    const Words words =
        philox(dropout.seed, at / 8 * static_cast<std::uint64_t>(cols) + static_cast<std::uint64_t>(col), *dropout.step,
               dropout.purpose);
    const std::uint32_t bits = words.word[at % 8 / 2] >> at % 2 * 16 & 0xffffu;
    return bits >= dropout_limit(dropout.rate) ? T(1) / (T(1) - T(dropout.rate)) : T(0);
}

// ---- Forward ---------------------------------------------------------------------------------------------------

/// out [R, D]; ids [R]; table [vocab_size, D]; time_row [R / length] and time_table [time_rows, D], or null.
template <class T>
void embed(View<T> out, const int* ids, const T* table, const T* time_table, const int* time_row, int length) {
    const std::ptrdiff_t D = out.cols;
    for (int r = 0; r < out.rows; ++r) {
        for (int c = 0; c < D; ++c) {
            out(r, c) = table[ids[r] * D + c];
            if (time_table) out(r, c) += time_table[time_row[r / length] * D + c];
        }
    }
}

/// out [R, N] = epilogue(in [R, K] weight [N, K]^T); residual [R, N] where kind says so.
template <class T>
void linear(View<T> out, View<T> in, View<T> weight, Epilogue::Kind kind = Epilogue::Kind::store, View<T> residual = {},
            const Dropout& dropout = {}) {
    for (int r = 0; r < out.rows; ++r) {
        for (int n = 0; n < out.cols; ++n) {
            T sum(0);
            for (int k = 0; k < in.cols; ++k) sum += in(r, k) * weight(n, k);
            switch (kind) {
                case Epilogue::Kind::store: out(r, n) = sum; break;
                case Epilogue::Kind::relu2: out(r, n) = real_part(sum) > 0 ? sum * sum : T(0); break;
                case Epilogue::Kind::residual:
                    out(r, n) = residual(r, n) + dropout_factor<T>(dropout, r, n, out.cols) * sum;
                    break;
            }
        }
    }
}

/// 1 / sqrt(mean(x^2) + eps) over n numbers.
template <class T>
T inverse_root_mean_square(const T* x, int n, T eps) {
    T sum(0);
    for (int i = 0; i < n; ++i) sum += x[i] * x[i];
    return T(1) / std::sqrt(sum / T(n) + eps);
}

/// out [R, D], in [R, D].
template <class T>
void rms_norm(View<T> out, View<T> in, T eps) {
    for (int r = 0; r < in.rows; ++r) {
        const T scale = inverse_root_mean_square(&in(r, 0), in.cols, eps);
        for (int c = 0; c < in.cols; ++c) out(r, c) = in(r, c) * scale;
    }
}

/// out [R, d], weights [R, n], table [n, d], positions [length, d] or null.
template <class T>
void embed_soft(View<T> out, View<T> weights, const T* table, const T* positions, int length) {
    for (int r = 0; r < out.rows; ++r) {
        for (int c = 0; c < out.cols; ++c) {
            T sum = positions ? positions[r % length * out.cols + c] : T(0);
            for (int k = 0; k < weights.cols; ++k) sum += weights(r, k) * table[k * out.cols + c];
            out(r, c) = sum;
        }
    }
}

/// out [R, d] = in + its convolution by filter [taps, d], within sequences of conv.length rows.
template <class T>
void local_conv(View<T> out, View<T> in, const T* filter, const LocalConv& conv) {
    for (int r = 0; r < out.rows; ++r) {
        const int position = r % conv.length;
        for (int c = 0; c < out.cols; ++c) {
            T sum = in(r, c);
            for (int k = -conv.radius; k <= conv.last_offset(); ++k)
                if (position + k >= 0 && position + k < conv.length)
                    sum += filter[(k + conv.radius) * out.cols + c] * in(r + k, c);
            out(r, c) = sum;
        }
    }
}

/// dx [R, d] = the gradient of the input; dfilter [taps, d] += that of the filter.
template <class T>
void local_conv_backward(View<T> dx, T* dfilter, View<T> dy, View<T> x, const T* filter, const LocalConv& conv) {
    for (int r = 0; r < dx.rows; ++r)
        for (int c = 0; c < dx.cols; ++c) dx(r, c) = dy(r, c);
    for (int r = 0; r < dy.rows; ++r) {
        const int position = r % conv.length;
        for (int k = -conv.radius; k <= conv.last_offset(); ++k) {
            if (position + k < 0 || position + k >= conv.length) continue;
            for (int c = 0; c < dy.cols; ++c) {
                dx(r + k, c) += filter[(k + conv.radius) * dy.cols + c] * dy(r, c);
                dfilter[(k + conv.radius) * dy.cols + c] += dy(r, c) * x(r + k, c);
            }
        }
    }
}

/// qkv [R, 3 D]: head h of q is columns h d .. h d + d - 1 (d = head_dim), k lies D = n_head d further right.
/// rope [positions, d] = cos [d / 2] | sin [d / 2]; inverse_rms [R, 2 n_head] or null.
template <class T>
void rope_qk_norm(View<T> qkv, const T* rope, T* inverse_rms, const AttentionShape& heads, T eps) {
    const int d = heads.head_dim, half = d / 2;
    for (int r = 0; r < qkv.rows; ++r) {
        const T* cosine = rope + static_cast<std::ptrdiff_t>(r % heads.length) * d;
        const T* sine = cosine + half;
        for (int h = 0; h < 2 * heads.n_head; ++h) {  // q's heads, then k's
            T* x = &qkv(r, h * d);
            for (int i = 0; i < half; ++i) {
                const T first = x[i], second = x[half + i];
                x[i] = first * cosine[i] + second * sine[i];
                x[half + i] = second * cosine[i] - first * sine[i];
            }
            const T scale = inverse_root_mean_square(x, d, eps);
            for (int i = 0; i < d; ++i) x[i] *= scale;
            if (inverse_rms) inverse_rms[static_cast<std::ptrdiff_t>(r) * 2 * heads.n_head + h] = scale;
        }
    }
}

/// exp(q_i k_j^T / sqrt(head_dim)), where q_i and k_j are the head's part of two rows.
template <class T>
T exp_score(const T* q, const T* k, int head_dim) {
    T dot(0);
    for (int c = 0; c < head_dim; ++c) dot += q[c] * k[c];
    return std::exp(dot / std::sqrt(T(head_dim)));
}

/// out [R, D], qkv [R, 3 D], log_sum_exp [R, n_head] or null. Fewer rows of out: the last ones of one sequence.
template <class T>
void attention(View<T> out, View<T> qkv, T* log_sum_exp, const AttentionShape& heads) {
    const int d = heads.head_dim, D = heads.n_head * d, n_cached = qkv.rows - out.rows;
    for (int r = n_cached; r < qkv.rows; ++r) {
        const int at = r - n_cached;
        const int first = r - r % heads.length, end = heads.causal ? r + 1 : first + heads.length;
        for (int h = 0; h < heads.n_head; ++h) {
            T sum(0);
            for (int c = 0; c < d; ++c) out(at, h * d + c) = T(0);
            for (int s = first; s < end; ++s) {
                const T e = exp_score(&qkv(r, h * d), &qkv(s, D + h * d), d);
                sum += e;
                for (int c = 0; c < d; ++c) out(at, h * d + c) += e * qkv(s, 2 * D + h * d + c);
            }
            for (int c = 0; c < d; ++c) out(at, h * d + c) /= sum;
            if (log_sum_exp) log_sum_exp[static_cast<std::ptrdiff_t>(at) * heads.n_head + h] = std::log(sum);
        }
    }
}

// ---- Backward --------------------------------------------------------------------------------------------------

/// dx [R, K] = dy [R, N] weight [N, K]; relu2_out [R, K] or null.
template <class T>
void linear_backward_input(View<T> dx, View<T> dy, View<T> weight, const View<T>* relu2_out = nullptr) {
    for (int r = 0; r < dx.rows; ++r) {
        for (int k = 0; k < dx.cols; ++k) {
            T sum(0);
            for (int n = 0; n < dy.cols; ++n) sum += dy(r, n) * weight(n, k);
            dx(r, k) = relu2_out ? sum * T(2) * std::sqrt((*relu2_out)(r, k)) : sum;
        }
    }
}

/// dw [N, K] += dy [R, N]^T x [R, K].
template <class T>
void linear_backward_weight(View<T> dw, View<T> dy, View<T> x) {
    for (int n = 0; n < dw.rows; ++n) {
        for (int k = 0; k < dw.cols; ++k) {
            T sum(0);
            for (int r = 0; r < x.rows; ++r) sum += dy(r, n) * x(r, k);
            dw(n, k) += sum;
        }
    }
}

/// dx, dy, x [R, D]. With y = x s, s = 1 / sqrt(mean(x^2) + eps): dx += s (dy - y mean(dy y)).
template <class T>
void rms_norm_backward(View<T> dx, View<T> dy, View<T> x, T eps) {
    const int D = x.cols;
    for (int r = 0; r < x.rows; ++r) {
        const T scale = inverse_root_mean_square(&x(r, 0), D, eps);
        T dot(0);
        for (int c = 0; c < D; ++c) dot += dy(r, c) * x(r, c) * scale;
        for (int c = 0; c < D; ++c) dx(r, c) += scale * (dy(r, c) - x(r, c) * scale * dot / T(D));
    }
}

/// dqkv, qkv [R, 3 D]; rope [positions, d]; inverse_rms [R, 2 n_head].
template <class T>
void rope_qk_norm_backward(View<T> dqkv, View<T> qkv, const T* rope, const T* inverse_rms,
                           const AttentionShape& heads) {
    const int d = heads.head_dim, half = d / 2;
    for (int r = 0; r < qkv.rows; ++r) {
        const T* cosine = rope + static_cast<std::ptrdiff_t>(r % heads.length) * d;
        const T* sine = cosine + half;
        for (int h = 0; h < 2 * heads.n_head; ++h) {
            T* dx = &dqkv(r, h * d);
            const T* y = &qkv(r, h * d);
            const T scale = inverse_rms[static_cast<std::ptrdiff_t>(r) * 2 * heads.n_head + h];
            T dot(0);
            for (int i = 0; i < d; ++i) dot += dx[i] * y[i];
            for (int i = 0; i < d; ++i) dx[i] = scale * (dx[i] - y[i] * dot / T(d));
            for (int i = 0; i < half; ++i) {  // the transpose of the rotation
                const T first = dx[i], second = dx[half + i];
                dx[i] = first * cosine[i] - second * sine[i];
                dx[half + i] = second * cosine[i] + first * sine[i];
            }
        }
    }
}

/// dqkv [R, 3 D]; dout, out [R, D]; qkv [R, 3 D]; log_sum_exp [R, n_head]. With p_rs = exp(q_r k_s / sqrt(d) - lse_r):
/// dv_s = sum_r p_rs dout_r; dlogit_rs = p_rs (dout_r v_s - dout_r out_r); dq_r and dk_s follow from the product.
template <class T>
void attention_backward(View<T> dqkv, View<T> dout, View<T> qkv, View<T> out, const T* log_sum_exp,
                        const AttentionShape& heads) {
    const int d = heads.head_dim, D = heads.n_head * d;
    for (int r = 0; r < dqkv.rows; ++r) {
        for (int c = 0; c < 3 * D; ++c) dqkv(r, c) = T(0);
    }
    for (int r = 0; r < dqkv.rows; ++r) {
        const int first = r - r % heads.length, end = heads.causal ? r + 1 : first + heads.length;
        for (int h = 0; h < heads.n_head; ++h) {
            const int q = h * d, k = D + h * d, v = 2 * D + h * d;  // the first column of each
            T mean(0);
            for (int c = 0; c < d; ++c) mean += dout(r, h * d + c) * out(r, h * d + c);
            for (int s = first; s < end; ++s) {
                const T p = exp_score(&qkv(r, q), &qkv(s, k), d) /
                            std::exp(log_sum_exp[static_cast<std::ptrdiff_t>(r) * heads.n_head + h]);
                T dp(0);
                for (int c = 0; c < d; ++c) dp += dout(r, h * d + c) * qkv(s, v + c);
                const T dlogit = p * (dp - mean) / std::sqrt(T(d));
                for (int c = 0; c < d; ++c) {
                    dqkv(r, q + c) += dlogit * qkv(s, k + c);
                    dqkv(s, k + c) += dlogit * qkv(r, q + c);
                    dqkv(s, v + c) += p * dout(r, h * d + c);
                }
            }
        }
    }
}

/// out, dx [R, D].
template <class T>
void dropout_backward(View<T> out, View<T> dx, const Dropout& dropout) {
    for (int r = 0; r < out.rows; ++r) {
        for (int c = 0; c < out.cols; ++c) out(r, c) = dx(r, c) * dropout_factor<T>(dropout, r, c, out.cols);
    }
}

/// dtable [vocab_size, D]; dtime [time_rows, D] or null; dout [R, D]; ids [R]; time_row [R / length].
template <class T>
void embed_backward(T* dtable, T* dtime, View<T> dout, const int* ids, const int* time_row, int length) {
    const std::ptrdiff_t D = dout.cols;
    for (int r = 0; r < dout.rows; ++r) {
        for (int c = 0; c < D; ++c) {
            dtable[ids[r] * D + c] += dout(r, c);
            if (dtime) dtime[time_row[r / length] * D + c] += dout(r, c);
        }
    }
}

// ---- Loss and corruption ---------------------------------------------------------------------------------------

/// dlogits, logits [R, V] (may be the same); loss, targets, weights [R].
template <class T>
void cross_entropy(View<T> dlogits, T* loss, View<T> logits, const int* targets, const T* weights, int excluded) {
    const int V = logits.cols;
    std::vector<T> e(static_cast<std::size_t>(V));
    for (int r = 0; r < logits.rows; ++r) {
        T largest = logits(r, targets[r]);
        for (int c = 0; c < V; ++c) {
            if (c != excluded && real_part(logits(r, c)) > real_part(largest)) largest = logits(r, c);
        }
        T sum(0);
        for (int c = 0; c < V; ++c) {
            e[static_cast<std::size_t>(c)] = c == excluded ? T(0) : std::exp(logits(r, c) - largest);
            sum += e[static_cast<std::size_t>(c)];
        }
        loss[r] = weights[r] * (std::log(sum) + largest - logits(r, targets[r]));
        for (int c = 0; c < V; ++c) {
            dlogits(r, c) = weights[r] * (e[static_cast<std::size_t>(c)] / sum - T(c == targets[r] ? 1 : 0));
        }
    }
}

/// dout, out, target [R, V]; loss, weights [R].
template <class T>
void squared_error(View<T> dout, T* loss, View<T> out, View<T> target, const T* weights) {
    for (int r = 0; r < out.rows; ++r) {
        loss[r] = T(0);
        for (int c = 0; c < out.cols; ++c) {
            const T difference = out(r, c) - target(r, c);
            loss[r] += weights[r] * difference * difference;
            dout(r, c) = T(2) * weights[r] * difference;
        }
    }
}

template <class T>
void softmax(View<T> out, View<T> logits) {
    for (int r = 0; r < logits.rows; ++r) {
        T largest = logits(r, 0), sum(0);
        for (int c = 1; c < logits.cols; ++c)
            if (real_part(logits(r, c)) > real_part(largest)) largest = logits(r, c);
        for (int c = 0; c < logits.cols; ++c) sum += out(r, c) = std::exp(logits(r, c) - largest);
        for (int c = 0; c < logits.cols; ++c) out(r, c) /= sum;
    }
}

/// dlogits, logits [R, V]; loss, targets, weights [R].
template <class T>
void brier(View<T> dlogits, T* loss, View<T> logits, const int* targets, const T* weights) {
    const int V = logits.cols;
    std::vector<T> p(static_cast<std::size_t>(V));
    for (int r = 0; r < logits.rows; ++r) {
        softmax<T>({p.data(), 1, V}, {&logits(r, 0), 1, V});
        const auto x = [&](int c) { return T(c == targets[r] ? 1 : 0); };
        loss[r] = T(0);
        for (int c = 0; c < V; ++c) loss[r] += weights[r] * (p[c] - x(c)) * (p[c] - x(c));
        for (int c = 0; c < V; ++c) {
            dlogits(r, c) = T(0);
            for (int i = 0; i < V; ++i)
                dlogits(r, c) += T(2) * weights[r] * (p[i] - x(i)) * p[i] * (T(i == c ? 1 : 0) - p[c]);
        }
    }
}

/// input, targets, weights [batch, length]; starts, counts, window_weights [batch].
template <class T>
void corrupt_masked(int* input, int* targets, T* weights, const int* text, const int* starts, const int* counts,
                    const T* window_weights, int batch, int length, int mask_id, std::uint64_t seed,
                    std::uint32_t step) {
    for (int b = 0; b < batch; ++b) {
        std::vector<std::pair<std::uint32_t, int>> order;
        for (int position = 0; position < length; ++position) {
            const int r = b * length + position;
            input[r] = targets[r] = text[starts[b] + position];
            weights[r] = T(0);
            order.emplace_back(philox_word(seed, static_cast<std::uint64_t>(r), step, Purpose::mask_position),
                               position);
        }
        std::sort(order.begin(), order.end());
        for (int i = 0; i < counts[b]; ++i) {
            const int r = b * length + order[static_cast<std::size_t>(i)].second;
            input[r] = mask_id;
            weights[r] = window_weights[b];
        }
    }
}

/// input, targets, weights [batch, length]; starts [batch].
template <class T>
void corrupt_autoregressive(int* input, int* targets, T* weights, const int* text, const int* starts, int batch,
                            int length, int vocab_size, float noise, std::uint64_t seed, std::uint32_t step) {
    for (int r = 0; r < batch * length; ++r) {
        const int* at = text + starts[r / length] + r % length;
        const Words words = philox(seed, static_cast<std::uint64_t>(r), step, Purpose::input_noise);
        input[r] = uniform(words.word[0]) < static_cast<double>(noise)
                       ? static_cast<int>(uniform(words.word[1]) * vocab_size)
                       : at[0];
        targets[r] = at[1];
        weights[r] = T(1) / T(batch * length);
    }
}

/// rows as in ops.h, by pointers of type T: soft_tokens [R, width], logit_bias and noise [R, V] or null.
template <class T>
void corrupt_gaussian(T* soft_tokens, int width, T* logit_bias, T* noise, int* targets, T* weights, const int* text,
                      const int* starts, int batch, int length, int vocab_size, const GaussianNoise& how) {
    const int time_rows = how.time_rows;
    std::vector<double> eps(static_cast<std::size_t>(vocab_size));
    for (int r = 0; r < batch * length; ++r) {
        const int b = r / length, id = text[starts[b] + r % length];
        const RowNoise& row_noise = how.windows[how.conditioned[r] ? batch : b];
        normals(eps, how.seed, static_cast<std::uint64_t>(r), *how.step, Purpose::diffuse);
        targets[r] = id;
        weights[r] = T(row_noise.loss_weight);
        T* row = soft_tokens + static_cast<std::ptrdiff_t>(r) * width;
        for (int c = 0; c < width; ++c) row[c] = T(0);
        for (int v = 0; v < vocab_size; ++v) {
            const T z = T(row_noise.alpha) * (T(v == id ? 1 : 0) - T(how.centre)) +
                        T(row_noise.sigma) * T(eps[static_cast<std::size_t>(v)]);
            row[v] = T(row_noise.input_scale) * z;
            if (logit_bias) logit_bias[static_cast<std::ptrdiff_t>(r) * vocab_size + v] = T(row_noise.prior_weight) * z;
            if (noise) noise[static_cast<std::ptrdiff_t>(r) * vocab_size + v] = T(eps[static_cast<std::size_t>(v)]);
        }
        for (int i = 0; i < time_rows; ++i) row[vocab_size + i] = T(how.features[b * time_rows + i]);
        if (width > vocab_size + time_rows) row[width - 1] = T(how.conditioned[r]);
    }
}

// ---- Optimisers ------------------------------------------------------------------------------------------------

template <class T>
double sum_of_squares(const T* data, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(data[i]) * static_cast<double>(data[i]);
    return sum;
}

template <class T>
void adamw(T* parameters, T* moment1, T* moment2, const T* gradient, T scale, std::size_t count, const AdamW& options) {
    const T lr(options.lr), beta1(options.beta1), beta2(options.beta2), eps(options.eps), decay(options.weight_decay);
    for (std::size_t i = 0; i < count; ++i) {
        const T g = gradient[i] * scale;
        moment1[i] = beta1 * moment1[i] + (T(1) - beta1) * g;
        moment2[i] = beta2 * moment2[i] + (T(1) - beta2) * g * g;
        const T first = moment1[i] / T(options.correction1), second = moment2[i] / T(options.correction2);
        parameters[i] = parameters[i] * (T(1) - lr * decay) - lr * first / (std::sqrt(second) + eps);
    }
}

/// a [n, m] -> [m, n]
template <class T>
std::vector<T> transposed(const std::vector<T>& a, int n, int m) {
    std::vector<T> result;
    for (int j = 0; j < m; ++j) {
        for (int i = 0; i < n; ++i) result.push_back(a[static_cast<std::size_t>(i) * m + j]);
    }
    return result;
}

/// a [n, k] b [k, m] -> [n, m]
template <class T>
std::vector<T> product(const std::vector<T>& a, const std::vector<T>& b, int n, int k, int m) {
    std::vector<T> result(static_cast<std::size_t>(n) * m);
    for (int i = 0; i < n; ++i) {
        for (int l = 0; l < k; ++l) {
            for (int j = 0; j < m; ++j) {
                result[static_cast<std::size_t>(i) * m + j] +=
                    a[static_cast<std::size_t>(i) * k + l] * b[static_cast<std::size_t>(l) * m + j];
            }
        }
    }
    return result;
}

/// About the semi-orthogonal matrix nearest to g [rows, cols]: its singular values are driven to the neighbourhood of 1
/// by five times X <- a X + (b A + c A^2) X, A = X X^T, on the wide orientation.
template <class T>
std::vector<T> newton_schulz(const std::vector<T>& g, int rows, int cols) {
    const int n = std::min(rows, cols), m = std::max(rows, cols);
    std::vector<T> x = rows > cols ? transposed(g, rows, cols) : g;  // [n, m]
    T squares(0);
    for (const T& value : x) squares += value * value;
    for (T& value : x) value /= std::sqrt(squares) + T(1e-7);
    for (int iteration = 0; iteration < 5; ++iteration) {
        const std::vector<T> A = product(x, transposed(x, n, m), n, m, n);  // [n, n]
        std::vector<T> B = product(A, A, n, n, n);
        for (std::size_t i = 0; i < B.size(); ++i) B[i] = T(-4.7750) * A[i] + T(2.0315) * B[i];
        const std::vector<T> Bx = product(B, x, n, n, m);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(3.4445) * x[i] + Bx[i];
    }
    return rows > cols ? transposed(x, n, m) : x;
}

/// parameters, momentum, gradient [rows, cols]; Nesterov's momentum.
template <class T>
void muon(T* parameters, T* momentum, const T* gradient, T scale, int rows, int cols, const Muon& options) {
    const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
    const T lr(options.lr), m(options.momentum), decay(options.weight_decay);
    std::vector<T> update(count);
    for (std::size_t i = 0; i < count; ++i) {
        const T g = gradient[i] * scale;
        momentum[i] = m * momentum[i] + g;
        update[i] = g + m * momentum[i];
    }
    update = newton_schulz(update, rows, cols);
    const T step = lr * std::sqrt(std::max(T(1), T(rows) / T(cols)));
    for (std::size_t i = 0; i < count; ++i) parameters[i] = parameters[i] * (T(1) - lr * decay) - step * update[i];
}

template <class T>
void ema(T* average, const T* values, std::size_t count, T decay) {
    for (std::size_t i = 0; i < count; ++i) average[i] = decay * average[i] + (T(1) - decay) * values[i];
}

}  // namespace folio::reference
