#include <catch2/catch.hpp>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>

#include "core/ops/cpu/cpu_training_ops.h"
#include "core/ops/kernels/microkernels.h"
#include "core/ops/reference.h"
#include "tests/backends.h"
#include "tests/test_support.h"

// The second link of the chain of trust: all operations on the CPU, under every micro-kernel set that this machine has,
// against the reference implementation in double. Every case runs with one, two and three threads, which must not
// change a bit, on matrices that lie somewhere within larger ones, of which nothing else may change.

namespace folio {
namespace {

using reference::View;
using test::as_matrix;
using test::Backend;
using test::Random;

std::size_t area(int rows, int cols) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols); }

/// A number as a matmul reads it: as it is, or rounded to bf16 (to nearest, ties to even).
float rounded(float x, Precision precision) {
    if (precision == Precision::f32) return x;
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    std::memcpy(&x, &bits, sizeof bits);
    return x;
}

std::vector<double> rounded(const std::vector<float>& values, Precision precision) {
    std::vector<double> result;
    for (float value : values) result.push_back(rounded(value, precision));
    return result;
}

std::vector<double> doubles(const std::vector<float>& values) { return test::converted<double>(values); }

/// Arrays on a device, for as long as this lives.
class Device {
public:
    explicit Device(Ops& ops) : ops_(ops) {}

    template <class T>
    T* put(const std::vector<T>& values) {
        storages_.push_back(ops_.allocate(values.size() * sizeof(T)).value());
        T* data = storages_.back().template as<T>();
        ops_.upload(data, values.data(), values.size() * sizeof(T));
        return data;
    }
    template <class T>
    std::vector<T> get(const T* data, std::size_t count) {
        std::vector<T> values(count);
        REQUIRE(ops_.synchronize());
        ops_.download(values.data(), data, count * sizeof(T));
        return values;
    }

    /// [rows, cols] in the middle of a larger matrix: `margin` columns on the left, one more on the right, and a row
    /// above and below, so that no row starts where a vector load would like it to.
    Matrix put(const std::vector<float>& values, int rows, int cols, int margin = 0) {
        const int stride = margin == 0 ? cols : cols + 2 * margin + 1;
        std::vector<float> all(area(rows + 2, stride), surroundings);
        for (int r = 0; r < rows; ++r) {
            std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(area(r, cols)), cols,
                        all.begin() + static_cast<std::ptrdiff_t>(area(r + 1, stride)) + margin);
        }
        return {put(all) + stride + margin, rows, cols, stride};
    }
    /// Its values again; nothing around it may have changed.
    std::vector<float> get(Matrix matrix, int margin = 0) {
        const std::vector<float> all = get(matrix.data - matrix.stride - margin, area(matrix.rows + 2, matrix.stride));
        std::vector<float> values;
        bool intact = true;
        for (int r = 0; r < matrix.rows + 2; ++r) {
            for (int c = 0; c < matrix.stride; ++c) {
                const float value = all[area(r, matrix.stride) + static_cast<std::size_t>(c)];
                if (r >= 1 && r <= matrix.rows && c >= margin && c < margin + matrix.cols)
                    values.push_back(value);
                else
                    intact = intact && value == surroundings;
            }
        }
        CHECK(intact);
        return values;
    }

private:
    static constexpr float surroundings = 12345.678f;
    Ops& ops_;
    std::vector<Storage> storages_;
};

using Values = std::vector<float>;

PackedWeight packed(Ops& ops, Device& device, const Values& values, int out, int in, bool training) {
    PackedWeight weight;
    REQUIRE(ops.pack(weight, {device.put(values)}, out, in, training));
    return weight;
}

/// Tolerances of a result: those of f32 matmuls, and those of bf16 where rounded inputs are not all that
/// is rounded.
struct Tolerance {
    double f32, bf16;
    Tolerance(double both) : f32(both), bf16(both) {}
    Tolerance(double f32, double bf16) : f32(f32), bf16(bf16) {}
};

/// `expected` in double, given how products see their inputs; `actual` by an implementation. They must agree within
/// the tolerance of the largest number of their row (or the root mean square of all, where the row is small by chance).
/// `head_dim`: of heads that are attended to; 0 where no head is.
void compare(int cols, Tolerance tolerance, const std::function<std::vector<double>(Precision)>& expected,
             const std::function<Values(const Backend&, Device&)>& actual, int head_dim = 0) {
    std::map<std::string, Values> seen;
    test::for_each_backend([&](const Backend& backend) {
        INFO("backend " << backend.name);
        Device device(backend.ops);
        const Values values = actual(backend, device);
        const auto [at, fresh] = seen.emplace(backend.name, values);
        if (!fresh) {
            const Values& first = at->second;
            REQUIRE(values.size() == first.size());
            REQUIRE(std::memcmp(values.data(), first.data(), values.size() * sizeof(float)) == 0);
            return;
        }
        const Precision precision = head_dim > 0 ? backend.attention_precision(head_dim) : backend.precision;
        const std::vector<double> truth = expected(precision);
        REQUIRE(values.size() == truth.size());
        double squares = 0;
        for (double x : truth) squares += x * x;
        const double typical = std::sqrt(squares / static_cast<double>(truth.size()));
        double worst = 0;
        std::size_t where = 0;
        for (std::size_t row = 0; row < truth.size(); row += static_cast<std::size_t>(cols)) {
            double scale = typical;
            for (int c = 0; c < cols; ++c) scale = std::max(scale, std::abs(truth[row + static_cast<std::size_t>(c)]));
            for (int c = 0; c < cols; ++c) {
                const std::size_t i = row + static_cast<std::size_t>(c);
                const double error = std::abs(values[i] - truth[i]) / (scale > 0 ? scale : 1);
                if (!(error <= worst)) worst = error, where = i;  // NaN too
            }
        }
        INFO("row " << where / static_cast<std::size_t>(cols) << ", column " << where % static_cast<std::size_t>(cols));
        INFO("is " << values[where] << ", should be " << truth[where]);
        CHECK(worst <= (precision == Precision::f32 ? tolerance.f32 : tolerance.bf16));
    });
}

/// The same where precision is no matter: all but the products.
void compare(int cols, Tolerance tolerance, const std::vector<double>& expected,
             const std::function<Values(const Backend&, Device&)>& actual) {
    compare(
        cols, tolerance, [&](Precision) { return expected; }, actual);
}

// ---- Products --------------------------------------------------------------------------------------------------

struct ProductShape {
    int R, K, N;
};

/// Every remainder of every tile, sooner or later; depths and heights beyond one block.
std::vector<ProductShape> product_shapes() {
    std::vector<ProductShape> shapes{{1, 1, 1},     {2, 1, 3},     {6, 16, 16},    {32, 32, 32},
                                     {33, 33, 33},  {31, 63, 15},  {1, 384, 66},   {70, 130, 130},
                                     {5, 1030, 40}, {300, 40, 20}, {13, 257, 400}, {64, 513, 32}};
    Random random(10);
    for (int i = 0; i < 60; ++i) shapes.push_back({1 + random.below(70), 1 + random.below(130), 1 + random.below(130)});
    return shapes;
}

TEST_CASE("ops: linear") {
    Random random(11);
    for (const auto [R, K, N] : product_shapes()) {
        for (const auto kind : {Epilogue::Kind::store, Epilogue::Kind::relu2, Epilogue::Kind::residual}) {
            const int margin = random.below(4);
            CAPTURE(R, K, N, static_cast<int>(kind), margin);
            const auto x = random.normals<float>(area(R, K)), w = random.normals<float>(area(N, K)),
                       residual = random.normals<float>(area(R, N));
            const std::uint32_t step = 5;
            const Dropout dropout{random.below(2) ? 0.2f : 0.f, 99, &step, 65, 1000};
            compare(
                N, 1e-5,
                [&](Precision precision) {
                    auto in = rounded(x, precision), weight = rounded(w, precision), added = doubles(residual);
                    std::vector<double> out(area(R, N));
                    reference::linear<double>(as_matrix(out, R, N), as_matrix(in, R, K), as_matrix(weight, N, K), kind,
                                              as_matrix(added, R, N), dropout);
                    return out;
                },
                [&](const Backend& backend, Device& device) {
                    const PackedWeight weight = packed(backend.ops, device, w, N, K, false);
                    Dropout there = dropout;
                    there.step = device.put(std::vector{step});
                    // In place where there is a residual, as the trunk has it.
                    const Matrix out = device.put(residual, R, N, margin);
                    backend.ops.linear(out, device.put(x, R, K, margin), weight, {kind, out, there});
                    return device.get(out, margin);
                });
        }
    }
}

TEST_CASE("ops: linear with a residual elsewhere") {
    Random random(12);
    const int R = 19, K = 23, N = 37;
    const auto x = random.normals<float>(area(R, K)), w = random.normals<float>(area(N, K)),
               residual = random.normals<float>(area(R, N));
    compare(
        N, 1e-5,
        [&](Precision precision) {
            auto in = rounded(x, precision), weight = rounded(w, precision), added = doubles(residual);
            std::vector<double> out(area(R, N));
            reference::linear<double>(as_matrix(out, R, N), as_matrix(in, R, K), as_matrix(weight, N, K),
                                      Epilogue::Kind::residual, as_matrix(added, R, N));
            return out;
        },
        [&](const Backend& backend, Device& device) {
            const PackedWeight weight = packed(backend.ops, device, w, N, K, false);
            const Matrix out = device.put(Values(area(R, N), 7), R, N, 2), added = device.put(residual, R, N, 1);
            backend.ops.linear(out, device.put(x, R, K), weight, {Epilogue::Kind::residual, added, {}});
            CHECK(device.get(added, 1) == residual);
            return device.get(out, 2);
        });
}

TEST_CASE("ops: a weight packed again lies where it lay") {
    Random random(13);
    const int R = 3, K = 40, N = 50;
    const auto x = random.normals<float>(area(R, K)), old = random.normals<float>(area(N, K)),
               w = random.normals<float>(area(N, K)), dy = random.normals<float>(area(R, N));
    compare(
        K, 1e-5,
        [&](Precision precision) {
            auto gradient = rounded(dy, precision), weight = rounded(w, precision);
            std::vector<double> dx(area(R, K));
            reference::linear_backward_input<double>(as_matrix(dx, R, K), as_matrix(gradient, R, N),
                                                     as_matrix(weight, N, K));
            return dx;
        },
        [&](const Backend& backend, Device& device) {
            PackedWeight weight = packed(backend.ops, device, old, N, K, true);
            const auto* forward = weight.forward.as<float>();
            const auto* backward = weight.backward.as<float>();
            REQUIRE(backend.ops.pack(weight, {device.put(w)}, N, K, true));
            CHECK(weight.forward.as<float>() == forward);
            CHECK(weight.backward.as<float>() == backward);
            CHECK(weight.out == N);
            CHECK(weight.in == K);
            const Matrix dx = device.put(Values(area(R, K)), R, K);
            backend.training.linear_backward_input(dx, device.put(dy, R, N), weight, nullptr);
            return device.get(dx);
        });
}

TEST_CASE("ops: linear_backward_input") {
    Random random(14);
    for (const auto [R, K, N] : product_shapes()) {
        const int margin = random.below(4);
        const bool relu2 = random.below(2);
        CAPTURE(R, K, N, margin, relu2);
        const auto dy = random.normals<float>(area(R, N)), w = random.normals<float>(area(N, K));
        auto hidden = random.normals<float>(area(R, K));
        for (float& value : hidden) value = std::max(0.f, value) * std::max(0.f, value);
        compare(
            K, 1e-5,
            [&](Precision precision) {
                auto gradient = rounded(dy, precision), weight = rounded(w, precision), kept = doubles(hidden);
                std::vector<double> dx(area(R, K));
                const View<double> relu2_out = as_matrix(kept, R, K);
                reference::linear_backward_input<double>(as_matrix(dx, R, K), as_matrix(gradient, R, N),
                                                         as_matrix(weight, N, K), relu2 ? &relu2_out : nullptr);
                return dx;
            },
            [&](const Backend& backend, Device& device) {
                const PackedWeight weight = packed(backend.ops, device, w, N, K, true);
                const Matrix dx = device.put(Values(area(R, K), 5), R, K, margin),
                             relu2_out = device.put(hidden, R, K, margin);
                backend.training.linear_backward_input(dx, device.put(dy, R, N, margin), weight,
                                                       relu2 ? &relu2_out : nullptr);
                return device.get(dx, margin);
            });
    }
}

TEST_CASE("ops: linear_backward_weight") {
    Random random(15);
    for (const auto [R, K, N] : product_shapes()) {
        const int margin = random.below(4);
        CAPTURE(R, K, N, margin);
        const auto dy = random.normals<float>(area(R, N)), x = random.normals<float>(area(R, K)),
                   before = random.normals<float>(area(N, K));
        compare(
            K, 1e-5,
            [&](Precision precision) {
                auto gradient = rounded(dy, precision), in = rounded(x, precision), dw = doubles(before);
                reference::linear_backward_weight<double>(as_matrix(dw, N, K), as_matrix(gradient, R, N),
                                                          as_matrix(in, R, K));
                return dw;
            },
            [&](const Backend& backend, Device& device) {
                const Matrix dw = device.put(before, N, K, margin);
                backend.training.linear_backward_weight(dw, device.put(dy, R, N, margin), device.put(x, R, K, margin));
                return device.get(dw, margin);
            });
    }
}

// ---- Rows ------------------------------------------------------------------------------------------------------

TEST_CASE("ops: rms_norm") {
    Random random(16);
    for (const int D : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130, 384}) {
        const int R = 1 + random.below(70), margin = random.below(4);
        const float eps = random.below(2) ? 1.1920929e-07f : 0.01f;
        CAPTURE(R, D, margin, eps);
        const auto x = random.normals<float>(area(R, D), 0.3);
        auto expected = doubles(x);
        reference::rms_norm<double>(as_matrix(expected, R, D), as_matrix(expected, R, D), eps);
        for (const bool in_place : {false, true}) {
            compare(D, 1e-6, expected, [&](const Backend& backend, Device& device) {
                const Matrix in = device.put(x, R, D, margin),
                             out = in_place ? in : device.put(Values(area(R, D), 5), R, D, margin);
                backend.ops.rms_norm(out, in, eps);
                return device.get(out, margin);
            });
        }
    }
}

TEST_CASE("ops: rms_norm of zeros and of huge numbers") {
    const Values x{0, 0, 0, 1e15f, -1e15f, 1e15f, 1e-15f, 1e-15f, 1e-15f};
    auto expected = doubles(x);
    reference::rms_norm<double>(as_matrix(expected, 3, 3), as_matrix(expected, 3, 3), 1e-6);
    compare(3, 1e-6, expected, [&](const Backend& backend, Device& device) {
        const Matrix in = device.put(x, 3, 3);
        backend.ops.rms_norm(in, in, 1e-6f);
        return device.get(in);
    });
}

TEST_CASE("ops: rms_norm_backward") {
    Random random(17);
    for (const int D : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130, 384}) {
        const int R = 1 + random.below(70), margin = random.below(4);
        const float eps = 0.02f;
        CAPTURE(R, D, margin);
        const auto x = random.normals<float>(area(R, D), 0.5), dy = random.normals<float>(area(R, D)),
                   before = random.normals<float>(area(R, D));
        auto in = doubles(x), gradient = doubles(dy), expected = doubles(before);
        reference::rms_norm_backward<double>(as_matrix(expected, R, D), as_matrix(gradient, R, D), as_matrix(in, R, D),
                                             eps);
        compare(D, 1e-5, expected, [&](const Backend& backend, Device& device) {
            const Matrix dx = device.put(before, R, D, margin);
            backend.training.rms_norm_backward(dx, device.put(dy, R, D, margin), device.put(x, R, D, margin), eps);
            return device.get(dx, margin);
        });
    }
}

TEST_CASE("ops: local_conv and its backward") {
    Random random(19);
    for (const int D : {1, 7, 16, 33, 130}) {
        for (const bool causal : {false, true}) {
            for (const int radius : {1, 3, 5}) {
                const int length = 1 + random.below(20), batch = 1 + random.below(4), R = batch * length,
                          margin = random.below(4);
                const int taps = (causal ? 1 : 2) * radius + 1;
                CAPTURE(D, causal, radius, length, batch, margin);
                const auto x = random.normals<float>(area(R, D)), dy = random.normals<float>(area(R, D)),
                           filter = random.normals<float>(area(taps, D), 0.3),
                           before = random.normals<float>(area(taps, D));
                auto in = doubles(x), gradient = doubles(dy), weights = doubles(filter), dfilter = doubles(before);
                std::vector<double> expected(area(R, D)), dx(area(R, D));
                LocalConv conv{nullptr, radius, causal, length, nullptr};
                reference::local_conv<double>(as_matrix(expected, R, D), as_matrix(in, R, D), weights.data(), conv);
                reference::local_conv_backward<double>(as_matrix(dx, R, D), dfilter.data(), as_matrix(gradient, R, D),
                                                       as_matrix(in, R, D), weights.data(), conv);
                compare(D, 1e-5, expected, [&](const Backend& backend, Device& device) {
                    const Matrix out = device.put(Values(area(R, D), 5), R, D, margin);
                    conv.filter = device.put(filter);
                    backend.ops.local_conv(out, device.put(x, R, D, margin), conv, nullptr);
                    return device.get(out, margin);
                });
                compare(D, 1e-5, dx, [&](const Backend& backend, Device& device) {
                    const Matrix out = device.put(Values(area(R, D), 5), R, D, margin);
                    conv.filter = device.put(filter);
                    backend.training.local_conv_backward_input(out, device.put(dy, R, D, margin), conv);
                    return device.get(out, margin);
                });
                compare(D, 1e-5, dfilter, [&](const Backend& backend, Device& device) {
                    const Matrix out = device.put(before, taps, D, margin);
                    backend.training.local_conv_backward_filter(out, device.put(dy, R, D, margin),
                                                                device.put(x, R, D, margin), conv);
                    return device.get(out, margin);
                });
                // Some rows, in any order; and the last rows of one sequence.
                std::vector<int> rows;
                std::vector<double> chosen;
                for (int i = 0; i < 5; ++i) {
                    rows.push_back(random.below(R));
                    chosen.insert(chosen.end(), expected.begin() + rows.back() * D,
                                  expected.begin() + (rows.back() + 1) * D);
                }
                compare(D, 1e-5, chosen, [&](const Backend& backend, Device& device) {
                    const Matrix out = device.put(Values(area(5, D), 5), 5, D, margin);
                    conv.filter = device.put(filter);
                    backend.ops.local_conv(out, device.put(x, R, D, margin), conv, device.put(rows));
                    return device.get(out, margin);
                });
                // One row out of the rows that it reads, which are not the whole sequence.
                const int row = random.below(R), position = row % length, conv_end = causal ? 0 : radius;
                const int from = row - std::min(position, radius),
                          to = row + std::min(length - 1 - position, conv_end) + 1;
                std::vector<int> in_rows(static_cast<std::size_t>(to - from));
                std::iota(in_rows.begin(), in_rows.end(), from);
                compare(D, 1e-5, std::vector<double>(expected.begin() + row * D, expected.begin() + (row + 1) * D),
                        [&](const Backend& backend, Device& device) {
                            const Matrix out = device.put(Values(area(1, D), 5), 1, D, margin);
                            LocalConv part = conv;
                            part.filter = device.put(filter);
                            part.in_rows = device.put(in_rows);
                            const Values read(x.begin() + from * D, x.begin() + to * D);
                            backend.ops.local_conv(out, device.put(read, to - from, D, margin), part,
                                                   device.put(std::vector<int>{row - from}));
                            return device.get(out, margin);
                        });
                const int last = 1 + random.below(length);
                const Values sequence(x.begin(), x.begin() + length * D);
                const std::vector<double> end(expected.begin() + (length - last) * D, expected.begin() + length * D);
                compare(D, 1e-5, end, [&](const Backend& backend, Device& device) {
                    const Matrix out = device.put(Values(area(last, D), 5), last, D, margin);
                    conv.filter = device.put(filter);
                    backend.ops.local_conv(out, device.put(sequence, length, D, margin), conv, nullptr);
                    return device.get(out, margin);
                });
            }
        }
    }
}

// ---- Attention -------------------------------------------------------------------------------------------------

struct AttentionBatch {
    int batch;
    AttentionShape heads;
};

std::vector<AttentionBatch> attention_shapes() {
    std::vector<AttentionBatch> shapes;
    for (const bool causal : {false, true}) {
        for (const auto& [batch, length, n_head, head_dim] :
             {std::array{1, 1, 1, 2}, std::array{3, 1, 2, 8}, std::array{2, 2, 3, 6}, std::array{2, 5, 1, 10},
              std::array{1, 17, 2, 14}, std::array{2, 33, 2, 8}, std::array{1, 64, 1, 32}, std::array{2, 65, 2, 32},
              std::array{1, 70, 2, 64}, std::array{1, 130, 1, 64}, std::array{2, 31, 1, 128}, std::array{1, 257, 1, 22},
              std::array{1, 300, 1, 128}}) {
            shapes.push_back({batch, {length, n_head, head_dim, causal}});
        }
    }
    return shapes;
}

TEST_CASE("ops: rope_qk_norm and its backward") {
    Random random(18);
    for (const auto& [batch, heads] : attention_shapes()) {
        if (heads.causal) continue;  // no matter here
        const int R = batch * heads.length, D = 3 * heads.n_head * heads.head_dim, margin = random.below(4);
        CAPTURE(batch, heads.length, heads.n_head, heads.head_dim, margin);
        const float eps = 0.01f;
        // The kernels get the same rounded angles as the reference implementation.
        const auto rope = test::rope_table<float>(heads.length, heads.head_dim);
        const auto x = random.normals<float>(area(R, D)), dy = random.normals<float>(area(R, D));
        auto table = doubles(rope), qkv = doubles(x), dqkv = doubles(dy);
        std::vector<double> kept(area(R, 2 * heads.n_head));
        reference::rope_qk_norm<double>(as_matrix(qkv, R, D), table.data(), kept.data(), heads, eps);
        reference::rope_qk_norm_backward<double>(as_matrix(dqkv, R, D), as_matrix(qkv, R, D), table.data(), kept.data(),
                                                 heads);

        compare(D, 2e-6, qkv, [&](const Backend& backend, Device& device) {
            const Matrix out = device.put(x, R, D, margin);
            backend.ops.rope_qk_norm(out, device.put(rope), nullptr, heads, eps);
            return device.get(out, margin);
        });
        compare(2 * heads.n_head, 1e-6, kept, [&](const Backend& backend, Device& device) {
            float* inverse_rms = device.put(Values(kept.size()));
            backend.ops.rope_qk_norm(device.put(x, R, D, margin), device.put(rope), inverse_rms, heads, eps);
            return device.get(inverse_rms, kept.size());
        });
        const auto normed = test::converted<float>(qkv), inverse = test::converted<float>(kept);
        compare(D, 1e-5, dqkv, [&](const Backend& backend, Device& device) {
            const Matrix gradient = device.put(dy, R, D, margin);
            backend.training.rope_qk_norm_backward(gradient, device.put(normed, R, D, margin), device.put(rope),
                                                   device.put(inverse), heads);
            return device.get(gradient, margin);
        });
    }
}

/// q|k|v of one pass, q and k normed.
Values random_qkv(Random& random, int R, const AttentionShape& heads) {
    const int stride = 3 * heads.n_head * heads.head_dim;
    auto qkv = random.normals(area(R, stride));
    const auto rope = test::rope_table<double>(heads.length, heads.head_dim);
    reference::rope_qk_norm<double>(as_matrix(qkv, R, stride), rope.data(), nullptr, heads, 1e-7);
    return test::converted<float>(qkv);
}

TEST_CASE("ops: attention") {
    Random random(19);
    for (const auto& [batch, heads] : attention_shapes()) {
        const int R = batch * heads.length, D = heads.n_head * heads.head_dim, margin = random.below(4);
        CAPTURE(batch, heads.length, heads.n_head, heads.head_dim, heads.causal, margin);
        const Values x = random_qkv(random, R, heads);
        std::vector<double> out(area(R, D)), log_sum_exp(area(R, heads.n_head));
        const auto forward = [&](Precision precision) {
            auto qkv = rounded(x, precision);
            reference::attention<double>(as_matrix(out, R, D), as_matrix(qkv, R, 3 * D), log_sum_exp.data(), heads);
        };
        // Probabilities are rounded before their product with v.
        const auto outputs = [&](Precision precision) { return forward(precision), out; };
        compare(
            D, {1e-5, 8e-3}, outputs,
            [&](const Backend& backend, Device& device) {
                const Matrix result = device.put(Values(area(R, D), 5), R, D, margin),
                             in = device.put(x, R, 3 * D, margin);
                backend.ops.attention(result, in, nullptr, heads);
                CHECK(device.get(in, margin) == x);
                return device.get(result, margin);
            },
            heads.head_dim);
        const auto sums = [&](Precision precision) { return forward(precision), log_sum_exp; };
        compare(
            heads.n_head, 1e-5, sums,
            [&](const Backend& backend, Device& device) {
                float* kept = device.put(Values(log_sum_exp.size()));
                backend.ops.attention(device.put(Values(area(R, D)), R, D), device.put(x, R, 3 * D, margin), kept,
                                      heads);
                return device.get(kept, log_sum_exp.size());
            },
            heads.head_dim);
    }
}

TEST_CASE("ops: attention of some rows") {
    Random random(43);
    for (const auto& [batch, heads] : attention_shapes()) {
        const int R = batch * heads.length, D = heads.n_head * heads.head_dim, margin = random.below(4),
                  odds = 1 + random.below(8);
        std::vector<int> queries;
        for (int r = 0; r < R; ++r)
            if (random.below(8) < odds || (r + 1 == R && queries.empty())) queries.push_back(r);
        const int count = static_cast<int>(queries.size());
        CAPTURE(batch, heads.length, heads.n_head, heads.head_dim, heads.causal, margin, count);
        const Values x = random_qkv(random, R, heads);
        const auto expected = [&](Precision precision) {
            auto qkv = rounded(x, precision);
            std::vector<double> whole(area(R, D)), chosen;
            reference::attention<double>(as_matrix(whole, R, D), as_matrix(qkv, R, 3 * D), nullptr, heads);
            for (const int r : queries) chosen.insert(chosen.end(), whole.begin() + r * D, whole.begin() + (r + 1) * D);
            return chosen;
        };
        compare(
            D, {1e-5, 8e-3}, expected,
            [&](const Backend& backend, Device& device) {
                const Matrix result = device.put(Values(area(count, D), 5), count, D, margin);
                AttentionShape attending = heads;
                attending.queries = device.put(queries);
                backend.ops.attention(result, device.put(x, R, 3 * D, margin), nullptr, attending);
                return device.get(result, margin);
            },
            heads.head_dim);
    }
}

TEST_CASE("ops: attention of the last places of a text") {
    Random random(31);
    for (const auto& [length, known] : {std::pair{1, 0}, {2, 1}, {65, 64}, {65, 30}, {130, 1}}) {
        const AttentionShape heads{length, 2, 24, true};
        const int rows = length - known, D = 48;
        const Values x = random_qkv(random, length, heads);
        const auto expected = [&](Precision precision) {
            auto qkv = rounded(x, precision);
            std::vector<double> whole(area(length, D)), part(area(rows, D));
            reference::attention<double>(as_matrix(whole, length, D), as_matrix(qkv, length, 3 * D), nullptr, heads);
            reference::attention<double>(as_matrix(part, rows, D), as_matrix(qkv, length, 3 * D), nullptr, heads);
            CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(area(known, D))));
            return part;
        };
        compare(
            D, {1e-5, 8e-3}, expected,
            [&](const Backend& backend, Device& device) {
                const Matrix result = device.put(Values(area(rows, D), 5), rows, D, 3);
                backend.ops.attention(result, device.put(x, length, 3 * D), nullptr, heads);
                return device.get(result, 3);
            },
            heads.head_dim);
    }
}

TEST_CASE("ops: attention_backward") {
    Random random(20);
    for (const auto& [batch, heads] : attention_shapes()) {
        const int R = batch * heads.length, D = heads.n_head * heads.head_dim, margin = random.below(4);
        CAPTURE(batch, heads.length, heads.n_head, heads.head_dim, heads.causal, margin);
        const Values x = random_qkv(random, R, heads), dy = random.normals<float>(area(R, D));
        auto qkv = doubles(x), dout = doubles(dy);
        std::vector<double> out(area(R, D)), log_sum_exp(area(R, heads.n_head)), expected(qkv.size());
        reference::attention<double>(as_matrix(out, R, D), as_matrix(qkv, R, 3 * D), log_sum_exp.data(), heads);
        reference::attention_backward<double>(as_matrix(expected, R, 3 * D), as_matrix(dout, R, D),
                                              as_matrix(qkv, R, 3 * D), as_matrix(out, R, D), log_sum_exp.data(),
                                              heads);
        compare(3 * D, {1e-5, 2e-2}, expected, [&](const Backend& backend, Device& device) {
            const Matrix dqkv = device.put(Values(area(R, 3 * D), 5), R, 3 * D, margin);
            backend.training.attention_backward(dqkv, device.put(dy, R, D, margin), device.put(x, R, 3 * D, margin),
                                                device.put(test::converted<float>(out), R, D, margin),
                                                device.put(test::converted<float>(log_sum_exp)), heads);
            return device.get(dqkv, margin);
        });
    }
}

TEST_CASE("ops: the kernels' exponential") {
    // Seen from outside its error drowns in that of the products, so it is looked at by itself.
    for (const KernelSet* set : distinct_kernels(Precision::f32)) {
        INFO("kernel set " << set->name);
        double worst = 0, largest_sum = 0;
        for (int part = 0; part < 1000; ++part) {
            Values x;
            for (int i = 0; i < 37; ++i) x.push_back(-87 + 171.f * static_cast<float>(37 * part + i) / 37000);
            Values e = x;
            const double sum = set->f32->exp_sum(e.data(), static_cast<int>(e.size()), 1, 0);
            double should = 0;
            for (std::size_t i = 0; i < x.size(); ++i) {
                const double exact = std::exp(static_cast<double>(x[i]));
                worst = std::max(worst, std::abs(e[i] - exact) / exact);
                should += exact;
            }
            largest_sum = std::max(largest_sum, std::abs(sum - should) / should);
        }
        CHECK(worst < 3e-7);
        CHECK(largest_sum < 6e-7);
        Values special{0.f, -88.f, -INFINITY};
        CHECK(set->f32->exp_sum(special.data(), 3, 1, 0) == 1);
        CHECK(special == Values{1, 0, 0});
        Values linear{1, 2, 3};
        CHECK(set->f32->exp_sum(linear.data(), 3, 0.5f, -1) == Approx(std::exp(-0.5) + 1 + std::exp(0.5)));
    }
}

// ---- Embedding, dropout, loss, corruption ------------------------------------------------------------------------

TEST_CASE("ops: embed and its backward") {
    Random random(21);
    for (const auto& [batch, length, D, vocab, rows] : {std::array{1, 1, 1, 1, 0}, std::array{2, 5, 7, 3, 0},
                                                        std::array{3, 23, 130, 66, 4}, std::array{4, 1, 33, 5, 2}}) {
        const int R = batch * length, margin = random.below(4);
        CAPTURE(batch, length, D, vocab, rows, margin);
        const auto table = random.normals<float>(area(vocab, D)), time_table = random.normals<float>(area(rows, D)),
                   dy = random.normals<float>(area(R, D));
        const auto ids = random.integers(static_cast<std::size_t>(R), vocab),
                   time_row = random.integers(static_cast<std::size_t>(batch), std::max(rows, 1));
        const auto exact_table = doubles(table), exact_time = doubles(time_table);
        std::vector<double> out(area(R, D)), dtable(table.size(), 0.5), dtime(time_table.size(), 0.5);
        auto dout = doubles(dy);
        reference::embed<double>(as_matrix(out, R, D), ids.data(), exact_table.data(),
                                 rows ? exact_time.data() : nullptr, time_row.data(), length);
        reference::embed_backward<double>(dtable.data(), rows ? dtime.data() : nullptr, as_matrix(dout, R, D),
                                          ids.data(), time_row.data(), length);
        compare(D, 1e-6, out, [&](const Backend& backend, Device& device) {
            const Matrix result = device.put(Values(area(R, D)), R, D, margin);
            backend.ops.embed(result, device.put(ids), device.put(table), rows ? device.put(time_table) : nullptr,
                              rows ? device.put(time_row) : nullptr, length);
            return device.get(result, margin);
        });
        std::vector<double> both = dtable;
        both.insert(both.end(), dtime.begin(), dtime.end());
        compare(D, 1e-5, both, [&](const Backend& backend, Device& device) {
            float* gradient = device.put(Values(table.size(), 0.5f));
            float* time_gradient = rows ? device.put(Values(time_table.size(), 0.5f)) : nullptr;
            backend.training.embed_backward({gradient, vocab, D}, {time_gradient, rows, D},
                                            device.put(dy, R, D, margin), device.put(ids),
                                            rows ? device.put(time_row) : nullptr, length);
            Values result = device.get(gradient, table.size());
            if (rows) {
                const Values more = device.get(time_gradient, time_table.size());
                result.insert(result.end(), more.begin(), more.end());
            }
            return result;
        });
    }
}

TEST_CASE("ops: embed_soft and add") {
    Random random(33);
    for (const auto& [length, n, d] : {std::tuple{1, 1, 1}, {7, 5, 3}, {9, 29, 16}, {40, 195, 100}, {64, 65, 384}}) {
        const int R = 2 * length, margin = random.below(4);
        const auto weights = random.normals<float>(area(R, n)), table = random.normals<float>(area(n, d)),
                   positions = random.normals<float>(area(length, d)), other = random.normals<float>(area(R, d));
        for (const bool placed : {false, true}) {
            CAPTURE(length, n, d, placed);
            std::vector<double> out(area(R, d));
            auto w = doubles(weights), t = doubles(table), p = doubles(positions);
            reference::embed_soft<double>(as_matrix(out, R, d), as_matrix(w, R, n), t.data(),
                                          placed ? p.data() : nullptr, length);
            compare(d, 1e-5, out, [&](const Backend& backend, Device& device) {
                const Matrix result = device.put(Values(area(R, d), 5), R, d, margin);
                backend.ops.embed_soft(result, device.put(weights, R, n, margin), device.put(table),
                                       placed ? device.put(positions) : nullptr, length);
                return device.get(result, margin);
            });
            std::vector<double> sum = out;
            for (std::size_t i = 0; i < sum.size(); ++i)
                sum[i] = static_cast<float>(out[i]) + (placed ? other[i] : 0.f);
            const Values first(out.begin(), out.end());
            compare(d, 1e-6, sum, [&](const Backend& backend, Device& device) {
                const Matrix result = device.put(Values(area(R, d), 5), R, d, margin);
                backend.ops.add(result, device.put(first, R, d, margin),
                                placed ? device.put(other, R, d, margin) : Matrix());
                return device.get(result, margin);
            });
        }
    }
}

TEST_CASE("ops: squared_error") {
    Random random(34);
    for (const auto& [R, V] : {std::pair{1, 1}, {9, 11}, {33, 65}}) {
        const auto out = random.normals<float>(area(R, V)), target = random.normals<float>(area(R, V)),
                   weights = random.normals<float>(R);
        std::vector<double> gradient(area(R, V)), loss(static_cast<std::size_t>(R));
        auto o = doubles(out), t = doubles(target), w = doubles(weights);
        reference::squared_error<double>(as_matrix(gradient, R, V), loss.data(), as_matrix(o, R, V), as_matrix(t, R, V),
                                         w.data());
        compare(V, 1e-6, gradient, [&](const Backend& backend, Device& device) {
            const Matrix x = device.put(out, R, V, 2);
            backend.training.squared_error(x, device.put(Values(static_cast<std::size_t>(R))), x,
                                           device.put(target, R, V, 1), device.put(weights));
            return device.get(x, 2);
        });
        compare(1, 1e-5, loss, [&](const Backend& backend, Device& device) {
            float* kept = device.put(Values(static_cast<std::size_t>(R)));
            backend.training.squared_error(device.put(Values(area(R, V)), R, V), kept, device.put(out, R, V),
                                           device.put(target, R, V), device.put(weights));
            return device.get(kept, static_cast<std::size_t>(R));
        });
    }
}

TEST_CASE("ops: brier") {
    Random random(37);
    for (const auto& [R, V] : {std::pair{1, 2}, {9, 11}, {33, 65}}) {
        auto logits = random.normals<float>(area(R, V));
        for (float& logit : logits) logit *= 3;
        const auto weights = random.normals<float>(R);
        const auto targets = random.integers(R, V);
        std::vector<double> gradient(area(R, V)), loss(static_cast<std::size_t>(R));
        auto x = doubles(logits), w = doubles(weights);
        reference::brier<double>(as_matrix(gradient, R, V), loss.data(), as_matrix(x, R, V), targets.data(), w.data());
        // The gradient is the loss's, by complex steps.
        for (int r = 0; r < R; ++r) {
            for (int c = 0; c < V; c += 4) {
                using Complex = std::complex<double>;
                std::vector<Complex> row(x.begin() + r * V, x.begin() + (r + 1) * V), unused(row.size());
                row[static_cast<std::size_t>(c)] += Complex(0, 1e-30);
                Complex moved, weight = w[static_cast<std::size_t>(r)];
                reference::brier<Complex>(as_matrix(unused, 1, V), &moved, as_matrix(row, 1, V),
                                          &targets[static_cast<std::size_t>(r)], &weight);
                CHECK(gradient[static_cast<std::size_t>(r * V + c)] == Approx(moved.imag() / 1e-30).margin(1e-12));
            }
        }
        compare(V, 5e-6, gradient, [&](const Backend& backend, Device& device) {
            const Matrix both = device.put(logits, R, V, 2);
            backend.training.brier(both, device.put(Values(static_cast<std::size_t>(R))), both, device.put(targets),
                                   device.put(weights));
            return device.get(both, 2);
        });
        compare(1, 1e-5, loss, [&](const Backend& backend, Device& device) {
            float* kept = device.put(Values(static_cast<std::size_t>(R)));
            backend.training.brier(device.put(Values(area(R, V)), R, V), kept, device.put(logits, R, V),
                                   device.put(targets), device.put(weights));
            return device.get(kept, static_cast<std::size_t>(R));
        });
    }
}

TEST_CASE("ops: dropout_backward draws the forward pass's mask") {
    Random random(22);
    for (const int C : {1, 3, 16, 65, 130}) {
        const int R = 1 + random.below(30), margin = random.below(4);
        const std::uint32_t step = 7;
        const Dropout dropout{0.3f, 0x123456789abcdef0u, &step, 66, 0xFFFFFFF0u};  // the index passes 2^32
        CAPTURE(R, C, margin);
        const auto dx = random.normals<float>(area(R, C));
        auto in = doubles(dx);
        std::vector<double> expected(area(R, C));
        reference::dropout_backward<double>(as_matrix(expected, R, C), as_matrix(in, R, C), dropout);
        compare(C, 1e-6, expected, [&](const Backend& backend, Device& device) {
            const Matrix out = device.put(Values(area(R, C)), R, C, margin);
            Dropout there = dropout;
            there.step = device.put(std::vector{step});
            backend.training.dropout_backward(out, device.put(dx, R, C, margin), there);
            return device.get(out, margin);
        });
    }
}

TEST_CASE("ops: cross_entropy") {
    Random random(23);
    for (const int V : {2, 3, 11, 16, 65, 66, 130}) {
        const int R = 1 + random.below(70), margin = random.below(4), excluded = random.below(3) - 1;
        const double scale = random.below(2) ? 1 : 40;  // as confident as a trained model, and more
        CAPTURE(R, V, margin, excluded, scale);
        const auto logits = random.normals<float>(area(R, V), scale);
        auto weights = random.normals<float>(static_cast<std::size_t>(R));
        for (float& weight : weights) weight = random.below(3) ? std::abs(weight) : 0.f;
        auto targets = random.integers(static_cast<std::size_t>(R), V);
        for (int& target : targets) target += target == excluded ? (target == 0 ? 1 : -1) : 0;
        auto in = doubles(logits), weight = doubles(weights);
        std::vector<double> dlogits(in.size()), loss(static_cast<std::size_t>(R));
        reference::cross_entropy<double>(as_matrix(dlogits, R, V), loss.data(), as_matrix(in, R, V), targets.data(),
                                         weight.data(), excluded);
        for (const bool in_place : {false, true}) {
            compare(V, 1e-5, dlogits, [&](const Backend& backend, Device& device) {
                const Matrix from = device.put(logits, R, V, margin),
                             out = in_place ? from : device.put(Values(area(R, V), 5), R, V, margin);
                backend.training.cross_entropy(out, device.put(Values(loss.size())), from, device.put(targets),
                                               device.put(weights), excluded);
                return device.get(out, margin);
            });
        }
        compare(R, 1e-6, loss, [&](const Backend& backend, Device& device) {
            float* each = device.put(Values(loss.size(), 5));
            const Matrix from = device.put(logits, R, V, margin);
            backend.training.cross_entropy(from, each, from, device.put(targets), device.put(weights), excluded);
            return device.get(each, loss.size());
        });
    }
}

TEST_CASE("ops: corrupt_masked") {
    Random random(24);
    const auto text = random.integers(500, 65);
    for (const int length : {1, 2, 63, 256}) {
        const int batch = 5, mask_id = 65;
        const auto step = static_cast<std::uint32_t>(length);
        const auto starts = random.integers(batch, 500 - length + 1);
        auto counts = random.integers(batch, length);
        for (int& count : counts) ++count;
        counts[0] = length;
        const auto window_weights = random.normals<float>(batch);
        std::vector<int> input(area(batch, length)), targets(input.size());
        Values weights(input.size());
        reference::corrupt_masked(input.data(), targets.data(), weights.data(), text.data(), starts.data(),
                                  counts.data(), window_weights.data(), batch, length, mask_id, 0xABCDEF0123456789u,
                                  step);
        compare(length, 0, doubles(weights), [&](const Backend& backend, Device& device) {
            int *in = device.put(std::vector<int>(input.size())), *out = device.put(std::vector<int>(input.size()));
            float* each = device.put(Values(input.size(), 5));
            backend.training.corrupt_masked(in, out, each, device.put(text), device.put(starts), device.put(counts),
                                            device.put(window_weights), batch, length, mask_id, 0xABCDEF0123456789u,
                                            device.put(std::vector{step}));
            CHECK(device.get(in, input.size()) == input);
            CHECK(device.get(out, targets.size()) == targets);
            return device.get(each, weights.size());
        });
    }
}

// ---- What is no number -------------------------------------------------------------------------------------------

TEST_CASE("ops: corrupt_autoregressive") {
    Random random(32);
    const auto text = random.integers(500, 65);
    for (const auto& [length, noise] : {std::pair{1, 0.f}, {64, 0.f}, {63, 0.3f}, {256, 1.f}}) {
        const int batch = 5;
        const auto starts = random.integers(batch, 500 - length);
        std::vector<int> input(area(batch, length)), targets(input.size());
        Values weights(input.size());
        reference::corrupt_autoregressive(input.data(), targets.data(), weights.data(), text.data(), starts.data(),
                                          batch, length, 65, noise, 77, 3);
        int replaced = 0;
        double all = 0;
        for (int r = 0; r < batch * length; ++r) {
            const std::size_t at = static_cast<std::size_t>(starts[static_cast<std::size_t>(r / length)] + r % length);
            REQUIRE(targets[static_cast<std::size_t>(r)] == text[at + 1]);
            REQUIRE((input[static_cast<std::size_t>(r)] >= 0 && input[static_cast<std::size_t>(r)] < 65));
            replaced += input[static_cast<std::size_t>(r)] != text[at];
            all += weights[static_cast<std::size_t>(r)];
        }
        CHECK(all == Approx(1));
        CHECK(replaced == Approx(noise * 64 / 65 * batch * length).margin(4 * std::sqrt(noise * batch * length)));
        compare(length, 0, doubles(weights), [&](const Backend& backend, Device& device) {
            int *in = device.put(std::vector<int>(input.size())), *out = device.put(std::vector<int>(input.size()));
            float* each = device.put(Values(input.size(), 5));
            backend.training.corrupt_autoregressive(in, out, each, device.put(text), device.put(starts), batch, length,
                                                    65, noise, 77, device.put(std::vector{3u}));
            CHECK(device.get(in, input.size()) == input);
            CHECK(device.get(out, targets.size()) == targets);
            return device.get(each, weights.size());
        });
    }
}

TEST_CASE("ops: corrupt_gaussian") {
    Random random(35);
    const auto text = random.integers(500, 65);
    struct Case {
        int length, vocab_size, time_rows;
        bool conditioned;
    };
    for (const auto& [length, V, T, conditioned] : {Case{1, 65, 0, false},
                                                    {7, 65, 6, true},
                                                    {64, 67, 64, true},
                                                    {33, 65, 5, false},
                                                    {9, 7, 64, false},
                                                    {9, 7, 64, true}}) {
        const int batch = 3, R = batch * length, width = V + T + (conditioned ? V + 1 : 0);
        CAPTURE(length, V, T, conditioned);
        const auto starts = random.integers(batch, 500 - length);
        std::vector<RowNoise> levels;
        for (int b = 0; b <= batch; ++b) {
            const auto x = random.normals<float>(5);
            levels.push_back({x[0], x[1], x[2], x[3], x[4]});
        }
        const auto features = random.normals<float>(area(batch, T));
        const auto known = random.integers(R, 2);
        std::vector<double> mixture(area(R, width)), prior(area(R, V)), noise(area(R, V)),
            weights(static_cast<std::size_t>(R));
        std::vector<int> targets(static_cast<std::size_t>(R));
        const std::uint32_t step = 7;
        GaussianNoise how{levels.data(), features.data(), T, known.data(), 1.f / 65, 99, &step};
        reference::corrupt_gaussian<double>(mixture.data(), width, prior.data(), noise.data(), targets.data(),
                                            weights.data(), text.data(), starts.data(), batch, length, V, how);
        double squares = 0;
        for (const double x : noise) squares += x * x;
        CHECK(squares / static_cast<double>(noise.size()) ==
              Approx(1).margin(5 * std::sqrt(2.0 / static_cast<double>(noise.size()))));
        for (const int which : {0, 1, 2, 3}) {
            const std::vector<double>* all[] = {&mixture, &prior, &noise, &weights};
            compare(which == 0   ? width
                    : which == 3 ? 1
                                 : V,
                    1e-6, *all[which], [&](const Backend& backend, Device& device) {
                        GaussianRows rows;
                        rows.soft_tokens = device.put(Values(area(R, width), 5), R, width, which);
                        rows.logit_bias = device.put(Values(area(R, V), 5), R, V, 1);
                        rows.noise = device.put(Values(area(R, V), 5), R, V);
                        rows.targets = device.put(std::vector<int>(targets.size()));
                        rows.weights = device.put(Values(weights.size(), 5));
                        const GaussianNoise there{
                            device.put(levels), device.put(features),         T, device.put(known), how.centre,
                            how.seed,           device.put(std::vector{step})};
                        backend.training.corrupt_gaussian(rows, device.put(text), device.put(starts), batch, length, V,
                                                          there);
                        CHECK(device.get(rows.targets, targets.size()) == targets);
                        if (which == 0) return device.get(rows.soft_tokens, which);
                        if (which == 1) return device.get(rows.logit_bias, 1);
                        if (which == 2) return device.get(rows.noise, 0);
                        return device.get(rows.weights, weights.size());
                    });
        }
    }
}

TEST_CASE("ops: softmax") {
    Random random(36);
    for (const auto& [R, V] : {std::pair{1, 1}, {9, 11}, {33, 65}}) {
        auto logits = random.normals<float>(area(R, V));
        for (float& logit : logits) logit *= 30;
        std::vector<double> out(area(R, V));
        auto x = doubles(logits);
        reference::softmax<double>(as_matrix(out, R, V), as_matrix(x, R, V));
        compare(V, 2e-6, out, [&](const Backend& backend, Device& device) {
            const Matrix result = device.put(Values(area(R, V), 5), R, V, 3);
            backend.training.softmax(result, device.put(logits, R, V));
            return device.get(result, 3);
        });
    }
}

TEST_CASE("ops: what is no number stays none") {
    // The trainer rolls back when the loss or the gradient is not finite: nothing on the way may hide that.
    Random random(29);
    const int R = 19, C = 33;  // a place of a whole vector, and one of a tail
    for (const int place : {3, 32}) {
        for (const float bad : {NAN, INFINITY}) {
            CAPTURE(place, bad);
            auto x = random.normals<float>(area(R, C));
            x[area(5, C) + static_cast<std::size_t>(place)] = bad;
            const auto w = random.normals<float>(area(C, C));
            for (const KernelSet* set : distinct_kernels(Precision::f32)) {
                INFO("kernel set " << set->name);
                Serial serial;
                CpuTrainingOps ops(serial, *set, Precision::f32);
                Device device(ops);
                const auto damaged = [&](const Values& values, int row, int cols) {
                    bool found = false;
                    for (int c = 0; c < cols; ++c) {
                        found = found || !std::isfinite(values[area(row, cols) + static_cast<std::size_t>(c)]);
                    }
                    return found;
                };
                PackedWeight weight = packed(ops, device, w, C, C, true);
                const Matrix in = device.put(x, R, C), out = device.put(Values(area(R, C)), R, C);
                ops.linear(out, in, weight, {});
                CHECK(damaged(device.get(out), 5, C));
                ops.linear(out, in, weight, {Epilogue::Kind::relu2, {}, {}});
                CHECK(damaged(device.get(out), 5, C));
                ops.rms_norm(out, in, 1e-6f);
                CHECK(damaged(device.get(out), 5, C));

                const AttentionShape heads{R, 1, 11, false};  // q, k or v: one of them holds it
                const Matrix attended = device.put(Values(area(R, 11)), R, 11);
                ops.attention(attended, in, nullptr, heads);
                CHECK(damaged(device.get(attended), 5, 11));

                float* loss = device.put(Values(R));
                const std::vector<int> targets(R, 1);
                ops.cross_entropy(out, loss, in, device.put(targets), device.put(Values(R, 1.f)), -1);
                CHECK(!std::isfinite(device.get(loss, R)[5]));
                double* norm = device.put(std::vector<double>(1));
                ops.sum_of_squares(norm, device.put(x), x.size());
                CHECK(!std::isfinite(device.get(norm, 1)[0]));
            }
        }
    }
}

// ---- Optimisers ------------------------------------------------------------------------------------------------

TEST_CASE("ops: sum_of_squares") {
    Random random(25);
    for (const std::size_t count : {1, 7, 130, 4097, 100003}) {
        CAPTURE(count);
        const auto data = random.normals<float>(count + 1);
        compare(1, 1e-7, {reference::sum_of_squares(data.data() + 1, count)},
                [&](const Backend& backend, Device& device) {
                    double* result = device.put(std::vector<double>(1));
                    backend.training.sum_of_squares(result, device.put(data) + 1, count);
                    return Values{static_cast<float>(device.get(result, 1)[0])};
                });
    }
}

TEST_CASE("ops: adamw") {
    Random random(26);
    for (const std::size_t count : {1, 7, 130, 5003}) {
        CAPTURE(count);
        AdamW options;
        options.lr = 0.01f;
        options.weight_decay = 0.1f;
        options.correction1 = 1 - 0.9f * 0.9f * 0.9f;
        options.correction2 = 1 - 0.95f * 0.95f * 0.95f;
        const auto p = random.normals<float>(count), m = random.normals<float>(count), g = random.normals<float>(count);
        auto v = random.normals<float>(count);
        for (float& value : v) value *= value;
        auto parameters = doubles(p), first = doubles(m), second = doubles(v), gradient = doubles(g);
        reference::adamw<double>(parameters.data(), first.data(), second.data(), gradient.data(), 0.25, count, options);
        auto expected = parameters;
        expected.insert(expected.end(), first.begin(), first.end());
        expected.insert(expected.end(), second.begin(), second.end());
        compare(static_cast<int>(count), 1e-6, expected, [&](const Backend& backend, Device& device) {
            float *values = device.put(p), *moment1 = device.put(m), *moment2 = device.put(v);
            backend.training.adamw(values, moment1, moment2, device.put(g), device.put(Values{0.25f}), count,
                                   device.put(std::vector{options}));
            Values result;
            for (const float* part : {values, moment1, moment2}) {
                const Values more = device.get(part, count);
                result.insert(result.end(), more.begin(), more.end());
            }
            return result;
        });
    }
}

TEST_CASE("ops: muon") {
    Random random(27);
    for (const auto& [rows, cols] : {std::array{1, 1}, std::array{5, 8}, std::array{8, 5}, std::array{33, 33},
                                     std::array{130, 70}, std::array{70, 130}}) {
        CAPTURE(rows, cols);
        const Muon options{0.02f, 0.95f, 0.01f};
        // Two matrices that do not touch.
        const std::size_t apart = area(rows, cols) + 3, all = apart + area(rows, cols);
        const auto p = random.normals<float>(all), m = random.normals<float>(all), g = random.normals<float>(all);
        auto parameters = doubles(p), momentum = doubles(m), gradient = doubles(g);
        for (const std::size_t at : {std::size_t{0}, apart})
            reference::muon<double>(&parameters[at], &momentum[at], &gradient[at], 0.5, rows, cols, options);
        // The update alone, so that the parameters do not hide it.
        std::vector<double> update;
        for (std::size_t i = 0; i < p.size(); ++i) update.push_back(parameters[i] - p[i]);
        compare(static_cast<int>(p.size()), {1e-4, 0.2}, update, [&](const Backend& backend, Device& device) {
            float *values = device.put(p), *buffer = device.put(m);
            backend.training.muon(values, buffer, device.put(g), device.put(Values{0.5f}), rows, cols, 2, apart,
                                  device.put(std::vector{options}));
            Values result = device.get(values, p.size());
            for (std::size_t i = 0; i < p.size(); ++i) result[i] -= p[i];
            const Values kept = device.get(buffer, p.size());
            for (std::size_t i = 0; i < p.size(); ++i)
                REQUIRE(kept[i] == Approx(momentum[i]).epsilon(1e-6).margin(1e-6));
            return result;
        });
    }
}

TEST_CASE("ops: ema, zero and replay") {
    Random random(28);
    const std::size_t count = 1003;
    const auto average = random.normals<float>(count), values = random.normals<float>(count);
    auto expected = doubles(average);
    const auto exact = doubles(values);
    reference::ema<double>(expected.data(), exact.data(), count, static_cast<double>(0.9f));
    expected[5] = expected[6] = 0;
    compare(static_cast<int>(count), 1e-6, expected, [&](const Backend& backend, Device& device) {
        struct Work {
            TrainingOps& training;
            float *average, *values, *scale, *decay;
        } work{backend.training, device.put(average), device.put(values), device.put(Values{1}),
               device.put(Values{0.9f})};
        backend.training.replay(
            1,
            [](void* context) {
                const Work& w = *static_cast<Work*>(context);
                w.training.ema(w.average, w.values, w.scale, count, w.decay);
            },
            &work);
        backend.training.fill_zero(work.average + 5, 2);
        return device.get(work.average, count);
    });
}

}  // namespace
}  // namespace folio
