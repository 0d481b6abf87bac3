#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/base/normals.h"
#include "core/ops/cpu/cpu_training_ops.h"

namespace folio {

CpuTrainingOps::~CpuTrainingOps() {
    std::free(panels_.data);
    std::free(update_.data);
}

const void* CpuTrainingOps::pack_shared(gemm::Operand b, int cols, int depth) {
    if (!grow(panels_, gemm::packed_bytes(product_, cols, depth))) return nullptr;
    parallel_.each(gemm::panels(product_, cols),
                   [&](int panel, int) { gemm::pack_panel(product_, panels_.data, b, cols, depth, panel); });
    return panels_.data;
}

void CpuTrainingOps::fill_zero(float* data, std::size_t count) {
    over_elements(count, [&](std::size_t first, std::size_t n) { std::memset(data + first, 0, sizeof(float) * n); });
}

void CpuTrainingOps::replay(int, void (*body)(void* context), void* context) { body(context); }

void CpuTrainingOps::linear_backward_input(Matrix dx, Matrix dy, const PackedWeight& weight, const Matrix* relu2_out) {
    assert(dx.cols == weight.in && dy.cols == weight.out && dx.rows == dy.rows);
    product({dy.data, dy.stride, 1}, dy.rows, weight.backward.as<void>(), weight.in, weight.out,
            [&](float* sums, int stride, int first, int rows, int col, int cols) {
                for (int i = 0; i < rows; ++i) {
                    float* sum = sums + i * stride;
                    if (relu2_out) kernels_.relu2_backward(sum, relu2_out->row(first + i) + col, cols);
                    std::memcpy(dx.row(first + i) + col, sum, sizeof(float) * cols);
                }
            });
}

void CpuTrainingOps::linear_backward_weight(Matrix dw, Matrix dy, Matrix x) {
    assert(dw.rows == dy.cols && dw.cols == x.cols && dy.rows == x.rows);
    const void* packed = pack_shared({x.data, 1, x.stride}, x.cols, x.rows);
    if (!packed) return;
    product({dy.data, 1, dy.stride}, dy.cols, packed, x.cols, x.rows,
            [&](float* sums, int stride, int first, int rows, int col, int cols) {
                for (int i = 0; i < rows; ++i) {
                    float* to = dw.row(first + i) + col;
                    kernels_.add(to, to, sums + i * stride, cols);
                }
            });
}

void CpuTrainingOps::rms_norm_backward(Matrix dx, Matrix dy, Matrix x, float eps) {
    over_rows(dx.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) kernels_.rms_norm_backward(dx.row(r), dy.row(r), x.row(r), x.cols, eps);
    });
}

void CpuTrainingOps::local_conv_backward_input(Matrix dx, Matrix dy, const LocalConv& conv) {
    over_rows(dx.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            // Row r was read at offset k by row r - k.
            const auto [first_k, last_k] = conv.read_by(conv.position(r));
            kernels_.add_products(dx.row(r), dy.row(r), conv.row(first_k, dx.cols), dx.cols, dy.row(r - first_k),
                                  -dy.stride, last_k - first_k + 1, dx.cols);
        }
    });
}

void CpuTrainingOps::local_conv_backward_filter(Matrix dfilter, Matrix dy, Matrix x, const LocalConv& conv) {
    constexpr int columns = 64;
    parallel_.each(gemm::divide_up(dfilter.cols, columns), [&](int block, int) {
        const int col = block * columns, count = std::min(columns, dfilter.cols - col);
        for (int begin = 0; begin < dy.rows; begin += conv.length) {
            for (int k = -conv.radius; k <= conv.last_offset(); ++k) {
                // Rows whose neighbour at offset k is in their sequence.
                const int first = begin + std::max(0, -k), rows = conv.length - std::abs(k);
                float* sum = dfilter.row(k + conv.radius) + col;
                if (rows > 0)
                    kernels_.add_products(sum, sum, dy.row(first) + col, dy.stride, x.row(first + k) + col, x.stride,
                                          rows, count);
            }
        }
    });
}

void CpuTrainingOps::rope_qk_norm_backward(Matrix dqkv, Matrix qkv, const float* rope, const float* inverse_rms,
                                           const AttentionShape& heads) {
    const int both = 2 * heads.n_head;
    over_rows(qkv.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            const float* turn = rope + static_cast<std::ptrdiff_t>(r % heads.length) * heads.head_dim;
            for (int h = 0; h < both; ++h)
                kernels_.rope_qk_norm_backward(dqkv.row(r) + h * heads.head_dim, qkv.row(r) + h * heads.head_dim, turn,
                                               heads.head_dim, inverse_rms[static_cast<std::ptrdiff_t>(r) * both + h]);
        }
    });
}

void CpuTrainingOps::dropout_backward(Matrix out, Matrix dx, const Dropout& dropout) {
    over_rows(out.rows, [&](int first, int last, int) {
        kernels_.dropout(out.row(first), out.stride, dx.row(first), dx.stride, last - first, out.cols, first, 0,
                         out.cols, dropout);
    });
}

void CpuTrainingOps::embed_backward(Matrix dtable, Matrix dtime, Matrix dout, const int* ids, const int* time_row,
                                    int length) {
    constexpr int columns = 32;
    parallel_.each(gemm::divide_up(dout.cols, columns), [&](int chunk, int) {
        const int first = chunk * columns, n = std::min(columns, dout.cols - first);
        for (int r = 0; r < dout.rows; ++r) {
            const float* from = dout.row(r) + first;
            float* to = dtable.row(ids[r]) + first;
            kernels_.add(to, to, from, n);
            if (dtime.rows > 0) {
                float* time = dtime.row(time_row[r / length]) + first;
                kernels_.add(time, time, from, n);
            }
        }
    });
}

void CpuTrainingOps::cross_entropy(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights,
                                   int excluded) {
    const int n = logits.cols;
    over_rows(logits.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            float* d = dlogits.row(r);
            if (weights[r] == 0.f) {
                std::memset(d, 0, sizeof(float) * n);
                loss[r] = 0.f;
                continue;
            }
            const float* logit = logits.row(r);
            const float right = logit[targets[r]];
            float top = -std::numeric_limits<float>::infinity();
            for (int j = 0; j < n; ++j)
                if (j != excluded && !(logit[j] <= top)) top = logit[j];
            if (d != logit) std::memcpy(d, logit, sizeof(float) * n);
            if (excluded >= 0) d[excluded] = -std::numeric_limits<float>::infinity();
            const float total = kernels_.exp_sum(d, n, 1.f, -top);
            loss[r] = weights[r] * (std::log(total) + top - right);
            kernels_.scale(d, d, n, weights[r] / total);
            d[targets[r]] -= weights[r];
        }
    });
}

void CpuTrainingOps::squared_error(Matrix dout, float* loss, Matrix out, Matrix target, const float* weights) {
    over_rows(out.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            const float *o = out.row(r), *t = target.row(r);
            float* d = dout.row(r);
            double squares = 0;
            for (int c = 0; c < out.cols; ++c) {
                const float difference = o[c] - t[c];
                squares += static_cast<double>(difference) * difference;
                d[c] = 2 * weights[r] * difference;
            }
            loss[r] = static_cast<float>(weights[r] * squares);
        }
    });
}

void CpuTrainingOps::brier(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights) {
    softmax(dlogits, logits);
    over_rows(logits.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            float* p = dlogits.row(r);
            double squares = 0, dot = 0;  // |p - x|^2, p . (p - x)
            for (int c = 0; c < logits.cols; ++c) {
                const double difference = p[c] - (c == targets[r] ? 1.f : 0.f);
                squares += difference * difference;
                dot += p[c] * difference;
            }
            for (int c = 0; c < logits.cols; ++c) {
                const float difference = p[c] - (c == targets[r] ? 1.f : 0.f);
                p[c] = 2 * weights[r] * p[c] * (difference - static_cast<float>(dot));
            }
            loss[r] = static_cast<float>(weights[r] * squares);
        }
    });
}

void CpuTrainingOps::corrupt_masked(int* input, int* targets, float* weights, const int* text, const int* starts,
                                    const int* counts, const float* window_weights, int batch, int length, int mask_id,
                                    std::uint64_t seed, const std::uint32_t* step) {
    if (!grow_workers(sizeof(std::uint64_t) * length)) return;
    parallel_.each(batch, [&](int b, int worker) {
        auto* keys = static_cast<std::uint64_t*>(workers_[worker].data);
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(b) * length;
        for (int i = 0; i < length; ++i) {
            const std::uint32_t word =
                philox_word(seed, static_cast<std::uint64_t>(row + i), *step, Purpose::mask_position);
            keys[i] = static_cast<std::uint64_t>(word) << 32 | static_cast<std::uint32_t>(i);
            input[row + i] = targets[row + i] = text[starts[b] + i];
            weights[row + i] = 0.f;
        }
        std::nth_element(keys, keys + counts[b] - 1, keys + length);
        for (int i = 0; i < counts[b]; ++i) {
            const std::ptrdiff_t at = row + static_cast<std::uint32_t>(keys[i]);
            input[at] = mask_id;
            weights[at] = window_weights[b];
        }
    });
}

void CpuTrainingOps::corrupt_gaussian(const GaussianRows& rows, const int* text, const int* starts, int batch,
                                      int length, int vocab_size, const GaussianNoise& how) {
    const Matrix& soft_tokens = rows.soft_tokens;
    const int time_rows = how.time_rows;
    if (!grow_workers(sizeof(double) * vocab_size)) return;
    over_rows(batch * length, [&](int first, int last, int worker) {
        const std::span<double> eps(static_cast<double*>(workers_[worker].data), static_cast<std::size_t>(vocab_size));
        for (int r = first; r < last; ++r) {
            const int b = r / length, id = text[starts[b] + r % length];
            const bool conditioned = how.conditioned[r] != 0;
            const RowNoise& row_noise = how.windows[conditioned ? batch : b];
            normals(eps, how.seed, static_cast<std::uint64_t>(r), *how.step, Purpose::diffuse);
            rows.targets[r] = id;
            rows.weights[r] = row_noise.loss_weight;
            float* row = soft_tokens.row(r);
            for (int v = 0; v < vocab_size; ++v)
                rows.set_element(r, v, (v == id ? 1.f : 0.f) - how.centre,
                                 static_cast<float>(eps[static_cast<std::size_t>(v)]), row_noise);
            std::copy_n(how.features + static_cast<std::ptrdiff_t>(b) * time_rows, time_rows, row + vocab_size);
            if (soft_tokens.cols == vocab_size + time_rows) continue;
            std::fill_n(row + vocab_size + time_rows, vocab_size, 0.f);
            row[soft_tokens.cols - 1] = conditioned ? 1.f : 0.f;
        }
    });
}

void CpuTrainingOps::softmax(Matrix out, Matrix logits) {
    over_rows(logits.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            float* p = out.row(r);
            const float* in = logits.row(r);
            const float largest = *std::max_element(in, in + logits.cols);
            if (p != in) std::copy_n(in, logits.cols, p);
            kernels_.scale(p, p, logits.cols, 1.f / kernels_.exp_sum(p, logits.cols, 1.f, -largest));
        }
    });
}

void CpuTrainingOps::corrupt_autoregressive(int* input, int* targets, float* weights, const int* text,
                                            const int* starts, int batch, int length, int vocab_size, float noise,
                                            std::uint64_t seed, const std::uint32_t* step) {
    parallel_.each(batch, [&](int b, int) {
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(b) * length;
        const int* from = text + starts[b];
        for (int i = 0; i < length; ++i) {
            const Words words = philox(seed, static_cast<std::uint64_t>(row + i), *step, Purpose::input_noise);
            const bool replaced = uniform(words.word[0]) < static_cast<double>(noise);
            input[row + i] = replaced ? static_cast<int>(uniform(words.word[1]) * vocab_size) : from[i];
            targets[row + i] = from[i + 1];
            weights[row + i] = 1.f / static_cast<float>(batch * length);
        }
    });
}

void CpuTrainingOps::sum_of_squares(double* result, const float* data, std::size_t count) {
    constexpr std::size_t chunk = 1 << 16;
    const int chunks = static_cast<int>((count + chunk - 1) / chunk);
    if (!grow(update_, sizeof(double) * chunks)) return;
    auto* partial = static_cast<double*>(update_.data);
    parallel_.each(chunks, [&](int c, int) {
        const float* from = data + static_cast<std::size_t>(c) * chunk;
        const std::size_t n = std::min(chunk, count - static_cast<std::size_t>(c) * chunk);
        double total = 0;
        for (std::size_t i = 0; i < n; i += 1024) {
            const int part = static_cast<int>(std::min<std::size_t>(1024, n - i));
            total += kernels_.dot(from + i, from + i, part);
        }
        partial[c] = total;
    });
    *result = 0;
    for (int c = 0; c < chunks; ++c) *result += partial[c];
}

void CpuTrainingOps::sum(double* result, const float* data, std::size_t count) {
    *result = 0;
    for (std::size_t i = 0; i < count; ++i) *result += data[i];
}

void CpuTrainingOps::clip(float* scale, const double* sum_of_squares, const double* loss, float largest) {
    const double norm = std::sqrt(*sum_of_squares);
    if (!std::isfinite(norm) || !std::isfinite(*loss))
        *scale = std::numeric_limits<float>::quiet_NaN();
    else
        *scale = norm > largest ? static_cast<float>(largest / norm) : 1.f;
}

void CpuTrainingOps::adamw(float* parameters, float* moment1, float* moment2, const float* gradient, const float* scale,
                           std::size_t count, const AdamW* options) {
    if (std::isnan(*scale)) return;
    over_elements(count, [&](std::size_t i, std::size_t n) {
        kernels_.adamw(parameters + i, moment1 + i, moment2 + i, gradient + i, n, *scale, *options);
    });
}

void CpuTrainingOps::muon(float* parameters, float* momentum, const float* gradient, const float* scale, int rows,
                          int cols, int matrices, std::size_t stride, const Muon* options) {
    if (std::isnan(*scale)) return;
    for (int i = 0; i < matrices; ++i)
        muon(parameters + i * stride, momentum + i * stride, gradient + i * stride, *scale, rows, cols, *options);
}

bool CpuTrainingOps::orthogonalise(float* x, float* gram, float* polynomial, int r, int c) {
    constexpr float a1 = 3.4445f, a3 = -4.7750f, a5 = 2.0315f;
    for (int iteration = 0; iteration < 5; ++iteration) {
        const auto store = [&](float* out, int stride_out) {
            return [=](float* sums, int stride, int first, int n, int col, int count) {
                for (int i = 0; i < n; ++i)
                    std::memcpy(out + static_cast<std::ptrdiff_t>(first + i) * stride_out + col, sums + i * stride,
                                sizeof(float) * count);
            };
        };
        const void* packed = pack_shared({x, c, 1}, r, c);
        if (!packed) return false;
        product({x, c, 1}, r, packed, r, c, store(gram, r));
        if (!(packed = pack_shared({gram, 1, r}, r, r))) return false;
        product({gram, r, 1}, r, packed, r, r, [&](float* sums, int stride, int first, int n, int col, int count) {
            for (int i = 0; i < n; ++i) {
                const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first + i) * r + col;
                for (int j = 0; j < count; ++j) polynomial[at + j] = a3 * gram[at + j] + a5 * sums[i * stride + j];
            }
        });
        if (!(packed = pack_shared({x, 1, c}, c, r))) return false;
        product({polynomial, r, 1}, r, packed, c, r,
                [&](float* sums, int stride, int first, int n, int col, int count) {
                    for (int i = 0; i < n; ++i) {
                        float* to = x + static_cast<std::ptrdiff_t>(first + i) * c + col;
                        for (int j = 0; j < count; ++j) to[j] = a1 * to[j] + sums[i * stride + j];
                    }
                });
    }
    return true;
}

void CpuTrainingOps::muon(float* parameters, float* momentum, const float* gradient, float scale, int rows, int cols,
                          const Muon& options) {
    // The orthogonal factor is sought on the side with fewer rows.
    const bool flip = rows > cols;
    const int r = flip ? cols : rows, c = flip ? rows : cols;
    const std::size_t size = static_cast<std::size_t>(rows) * cols, square = static_cast<std::size_t>(r) * r;
    if (!grow(update_, sizeof(float) * (size + 2 * square))) return;
    float *x = static_cast<float*>(update_.data), *gram = x + size, *polynomial = gram + square;

    double total = 0;
    for (int i = 0; i < rows; ++i) {
        double row = 0;
        for (int j = 0; j < cols; ++j) {
            const std::size_t at = static_cast<std::size_t>(i) * cols + j;
            const float g = gradient[at] * scale;
            momentum[at] = options.momentum * momentum[at] + g;
            const float update = g + options.momentum * momentum[at];
            x[flip ? static_cast<std::size_t>(j) * rows + i : at] = update;
            row += static_cast<double>(update) * update;
        }
        total += row;
    }
    const float inverse = static_cast<float>(1.0 / (std::sqrt(total) + 1e-7));
    kernels_.scale(x, x, static_cast<int>(size), inverse);

    if (!orthogonalise(x, gram, polynomial, r, c)) return;
    const float decay = 1.f - options.lr * options.weight_decay;
    const float step = options.lr * std::sqrt(std::max(1.f, static_cast<float>(rows) / static_cast<float>(cols)));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < cols; ++j) {
            const std::size_t at = static_cast<std::size_t>(i) * cols + j;
            parameters[at] = parameters[at] * decay - step * x[flip ? static_cast<std::size_t>(j) * rows + i : at];
        }
}

void CpuTrainingOps::ema(float* average, const float* values, const float* scale, std::size_t count,
                         const float* decay) {
    if (std::isnan(*scale)) return;
    over_elements(count, [&](std::size_t first, std::size_t n) {
        for (std::size_t i = first; i < first + n; ++i) average[i] = *decay * average[i] + (1.f - *decay) * values[i];
    });
}

}  // namespace folio
