#include <catch2/catch.hpp>

#include "core/ops/reference.h"
#include "tests/test_support.h"

// The first link of the chain of trust: every plain backward against the derivative of its plain forward by complex
// step, Im f(x + ih) / h, which has no cancellation, so that h may be tiny and the agreement that of double itself.

namespace folio {
namespace {

using reference::View;
using test::as_matrix;
using test::Random;
using Complex = std::complex<double>;

/// Compares `gradient` with the derivative of loss(values), which takes a vector of any scalar type and returns one.
template <class Loss>
void require_gradient(const std::vector<double>& values, const std::vector<double>& gradient, Loss loss) {
    REQUIRE(values.size() == gradient.size());
    const double h = 1e-30;
    std::vector<Complex> varied(values.begin(), values.end());
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        varied[i] += Complex(0, h);
        const double derivative = loss(varied).imag() / h;
        varied[i] = values[i];
        largest = std::max(largest, std::abs(derivative));
        worst = std::max(worst, std::abs(derivative - gradient[i]));
    }
    REQUIRE(largest > 0);
    CHECK(worst < 1e-12 * largest);
}

std::vector<Complex> complex(const std::vector<double>& values) { return test::converted<Complex>(values); }

/// sum_i outputs_i cotangent_i: a scalar whose gradient by the outputs is the cotangent.
Complex dot(const std::vector<Complex>& outputs, const std::vector<double>& cotangent) {
    Complex sum = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) sum += outputs[i] * cotangent[i];
    return sum;
}

std::size_t area(int rows, int cols) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols); }

/// Heads x lengths that no kernel finds convenient, among them a single row and an odd half.
AttentionShape odd_heads() {
    return GENERATE(AttentionShape{1, 1, 2, false}, AttentionShape{5, 3, 2, false}, AttentionShape{4, 2, 6, true},
                    AttentionShape{7, 1, 10, true}, AttentionShape{3, 2, 14, false});
}

TEST_CASE("reference: linear and its backward") {
    Random random(1);
    const int R = GENERATE(1, 5), K = GENERATE(1, 7), N = GENERATE(1, 3, 6);
    auto x = random.normals(area(R, K)), w = random.normals(area(N, K)), dy = random.normals(area(R, N));
    const auto residual = random.normals(area(R, N));
    const std::uint32_t step = 3;
    const Dropout dropout{GENERATE(0.f, 0.25f), 7, &step, 64, 11};

    const auto loss = [&](std::vector<Complex> x, std::vector<Complex> w) {
        std::vector<Complex> out(area(R, N)), added = complex(residual);
        reference::linear<Complex>(as_matrix(out, R, N), as_matrix(x, R, K), as_matrix(w, N, K),
                                   Epilogue::Kind::residual, as_matrix(added, R, N), dropout);
        return dot(out, dy);
    };
    std::vector<double> dbranch(dy.size()), dx(x.size()), dw(w.size(), 0.5);
    reference::dropout_backward<double>(as_matrix(dbranch, R, N), as_matrix(dy, R, N), dropout);
    reference::linear_backward_input<double>(as_matrix(dx, R, K), as_matrix(dbranch, R, N), as_matrix(w, N, K));
    reference::linear_backward_weight<double>(as_matrix(dw, N, K), as_matrix(dbranch, R, N), as_matrix(x, R, K));
    for (double& value : dw) value -= 0.5;  // it adds
    if (loss(complex(x), complex(w)) == dot(complex(residual), dy))
        return;  // every position dropped out: nothing to see
    require_gradient(x, dx, [&](const auto& varied) { return loss(varied, complex(w)); });
    require_gradient(w, dw, [&](const auto& varied) { return loss(complex(x), varied); });
}

TEST_CASE("reference: two layers with relu2 between") {
    Random random(2);
    const int R = 4, K = 5, F = 9, N = 3;
    auto x = random.normals(area(R, K)), up = random.normals(area(F, K)), down = random.normals(area(N, F)),
         dy = random.normals(area(R, N)), hidden = random.normals(area(R, F));

    const auto loss = [&](std::vector<Complex> x, std::vector<Complex> up) {
        std::vector<Complex> hidden(area(R, F)), out(area(R, N)), last = complex(down);
        reference::linear<Complex>(as_matrix(hidden, R, F), as_matrix(x, R, K), as_matrix(up, F, K),
                                   Epilogue::Kind::relu2);
        reference::linear<Complex>(as_matrix(out, R, N), as_matrix(hidden, R, F), as_matrix(last, N, F));
        return dot(out, dy);
    };
    std::vector<double> dhidden(hidden.size()), dx(x.size()), dup(up.size());
    reference::linear<double>(as_matrix(hidden, R, F), as_matrix(x, R, K), as_matrix(up, F, K), Epilogue::Kind::relu2);
    const View<double> relu2_out = as_matrix(hidden, R, F);
    reference::linear_backward_input<double>(as_matrix(dhidden, R, F), as_matrix(dy, R, N), as_matrix(down, N, F),
                                             &relu2_out);
    reference::linear_backward_input<double>(as_matrix(dx, R, K), as_matrix(dhidden, R, F), as_matrix(up, F, K));
    reference::linear_backward_weight<double>(as_matrix(dup, F, K), as_matrix(dhidden, R, F), as_matrix(x, R, K));
    require_gradient(x, dx, [&](const auto& varied) { return loss(varied, complex(up)); });
    require_gradient(up, dup, [&](const auto& varied) { return loss(complex(x), varied); });
}

TEST_CASE("reference: norm and its backward") {
    Random random(3);
    const int R = GENERATE(1, 3), D = GENERATE(2, 5, 16);
    const double eps = GENERATE(1.1920929e-07, 0.05);
    auto x = random.normals(area(R, D)), dy = random.normals(area(R, D));
    std::vector<double> dx(x.size(), 0.25);
    reference::rms_norm_backward<double>(as_matrix(dx, R, D), as_matrix(dy, R, D), as_matrix(x, R, D), eps);
    for (double& value : dx) value -= 0.25;  // it adds
    require_gradient(x, dx, [&](std::vector<Complex> varied) {
        reference::rms_norm<Complex>(as_matrix(varied, R, D), as_matrix(varied, R, D), eps);
        return dot(varied, dy);
    });
}

TEST_CASE("reference: rope_qk_norm and its backward") {
    Random random(4);
    const AttentionShape heads = odd_heads();
    const int R = 2 * heads.length, D = heads.n_head * heads.head_dim, stride = 3 * D;
    const double eps = GENERATE(1.1920929e-07, 0.05);
    const auto rope = test::rope_table<double>(heads.length, heads.head_dim);
    auto qkv = random.normals(area(R, stride)), dqkv = random.normals(area(R, stride));
    const auto x = qkv, dy = dqkv;
    std::vector<double> inverse_rms(area(R, 2 * heads.n_head));
    reference::rope_qk_norm<double>(as_matrix(qkv, R, stride), rope.data(), inverse_rms.data(), heads, eps);
    reference::rope_qk_norm_backward<double>(as_matrix(dqkv, R, stride), as_matrix(qkv, R, stride), rope.data(),
                                             inverse_rms.data(), heads);
    require_gradient(x, dqkv, [&](std::vector<Complex> varied) {
        const auto table = complex(rope);
        reference::rope_qk_norm<Complex>(as_matrix(varied, R, stride), table.data(), nullptr, heads, eps);
        return dot(varied, dy);
    });
}

TEST_CASE("reference: attention and its backward") {
    Random random(5);
    const AttentionShape heads = odd_heads();
    const int R = 2 * heads.length, D = heads.n_head * heads.head_dim, stride = 3 * D;
    auto qkv = random.normals(area(R, stride)), dout = random.normals(area(R, D)), out = dout;
    std::vector<double> log_sum_exp(area(R, heads.n_head)), dqkv(qkv.size(), 9);
    reference::attention<double>(as_matrix(out, R, D), as_matrix(qkv, R, stride), log_sum_exp.data(), heads);
    reference::attention_backward<double>(as_matrix(dqkv, R, stride), as_matrix(dout, R, D), as_matrix(qkv, R, stride),
                                          as_matrix(out, R, D), log_sum_exp.data(), heads);
    require_gradient(qkv, dqkv, [&](std::vector<Complex> varied) {
        std::vector<Complex> out(area(R, D));
        reference::attention<Complex>(as_matrix(out, R, D), as_matrix(varied, R, stride), nullptr, heads);
        return dot(out, dout);
    });
}

TEST_CASE("reference: embed and its backward") {
    Random random(6);
    const int V = 5, T = 3, D = 4, length = 3, R = 6;
    auto table = random.normals(area(V, D)), time_table = random.normals(area(T, D)), dout = random.normals(area(R, D));
    const auto ids = random.integers(R, V), time_row = random.integers(R / length, T);
    std::vector<double> dtable(table.size(), 0.5), dtime(time_table.size(), 0.5);
    reference::embed_backward<double>(dtable.data(), dtime.data(), as_matrix(dout, R, D), ids.data(), time_row.data(),
                                      length);
    for (double& value : dtable) value -= 0.5;  // they add
    for (double& value : dtime) value -= 0.5;
    const auto loss = [&](std::vector<Complex> table, std::vector<Complex> time_table) {
        std::vector<Complex> out(area(R, D));
        reference::embed<Complex>(as_matrix(out, R, D), ids.data(), table.data(), time_table.data(), time_row.data(),
                                  length);
        return dot(out, dout);
    };
    require_gradient(table, dtable, [&](const auto& varied) { return loss(varied, complex(time_table)); });
    require_gradient(time_table, dtime, [&](const auto& varied) { return loss(complex(table), varied); });
}

TEST_CASE("reference: cross_entropy and its gradient") {
    Random random(7);
    const int R = 5, V = GENERATE(2, 7), excluded = GENERATE(-1, 0);
    auto logits = random.normals(area(R, V), 3), weights = random.normals(R);
    weights[1] = 0;
    std::vector<int> targets = random.integers(R, V);
    for (int& target : targets) target = std::max(target, excluded + 1);
    std::vector<double> loss(R), dlogits(logits.size());
    reference::cross_entropy<double>(as_matrix(dlogits, R, V), loss.data(), as_matrix(logits, R, V), targets.data(),
                                     weights.data(), excluded);
    for (int r = 0; r < R; ++r) {  // by definition
        double sum = 0;
        for (int c = excluded + 1; c < V; ++c) sum += std::exp(logits[area(r, V) + static_cast<std::size_t>(c)]);
        const double log_p =
            logits[area(r, V) + static_cast<std::size_t>(targets[static_cast<std::size_t>(r)])] - std::log(sum);
        CHECK(loss[static_cast<std::size_t>(r)] == Approx(-weights[static_cast<std::size_t>(r)] * log_p).margin(1e-14));
        if (excluded >= 0) CHECK(dlogits[area(r, V)] == 0);
    }
    for (int c = 0; c < V; ++c) CHECK(dlogits[area(1, V) + static_cast<std::size_t>(c)] == 0);
    if (V - (excluded + 1) == 1) return;  // one choice only: no loss and no gradient
    require_gradient(logits, dlogits, [&](std::vector<Complex> varied) {
        std::vector<Complex> each(R), weight = complex(weights), scratch(varied.size());
        reference::cross_entropy<Complex>(as_matrix(scratch, R, V), each.data(), as_matrix(varied, R, V),
                                          targets.data(), weight.data(), excluded);
        return dot(each, std::vector<double>(R, 1.0));
    });
}

TEST_CASE("reference: dropout keeps its share, and its mask does not depend on how a batch is cut") {
    const int R = 40, C = 50;
    const std::uint32_t step = 2;
    const Dropout whole{0.3f, 5, &step, 65, 0};
    Dropout second = whole;
    second.first_row = 10;
    int kept = 0;
    for (int r = 0; r < R; ++r) {
        for (int c = 0; c < C; ++c) {
            const double factor = reference::dropout_factor<double>(whole, r, c, C);
            kept += factor != 0;
            if (factor != 0) CHECK(factor == Approx(1 / 0.7));
            if (r >= 10) CHECK(factor == reference::dropout_factor<double>(second, r - 10, c, C));
        }
    }
    CHECK(std::abs(kept - 0.7 * R * C) < 4 * std::sqrt(R * C * 0.3 * 0.7));
}

TEST_CASE("reference: corrupt_masked hides as many positions as asked, each as often as any other") {
    Random random(8);
    const int batch = 3, length = 8, mask_id = 9;
    const auto text = random.integers(50, 9);
    const std::vector<int> starts{0, 42, 17}, counts{1, 8, 3};
    const std::vector<double> window_weights{1, 0.125, 0.5};
    std::vector<int> hidden(length);
    for (std::uint32_t step = 0; step < 2000; ++step) {
        std::vector<int> input(batch * length), targets(batch * length);
        std::vector<double> weights(batch * length);
        reference::corrupt_masked(input.data(), targets.data(), weights.data(), text.data(), starts.data(),
                                  counts.data(), window_weights.data(), batch, length, mask_id, 77, step);
        for (int b = 0; b < batch; ++b) {
            int masked = 0;
            for (int i = 0; i < length; ++i) {
                const auto r = static_cast<std::size_t>(b * length + i), b_ = static_cast<std::size_t>(b);
                REQUIRE(targets[r] == text[static_cast<std::size_t>(starts[b_] + i)]);
                REQUIRE(input[r] == (weights[r] != 0 ? mask_id : targets[r]));
                REQUIRE((weights[r] == 0 || weights[r] == window_weights[b_]));
                masked += weights[r] != 0;
                if (b == 2) hidden[static_cast<std::size_t>(i)] += weights[r] != 0;
            }
            REQUIRE(masked == counts[static_cast<std::size_t>(b)]);
        }
    }
    for (int count : hidden) CHECK(std::abs(count - 750) < 4 * std::sqrt(2000 * 3 / 8.0 * 5 / 8.0));
}

TEST_CASE("reference: newton_schulz brings singular values near 1") {
    Random random(9);
    const int rows = GENERATE(1, 4, 9), cols = GENERATE(3, 7);
    const auto x = reference::newton_schulz(random.normals(area(rows, cols)), rows, cols);
    const int n = std::min(rows, cols), m = std::max(rows, cols);
    const auto wide = rows > cols ? reference::transposed(x, rows, cols) : x;
    const auto gram = reference::product(wide, reference::transposed(wide, n, m), n, m, n);
    double trace = 0;
    for (int i = 0; i < n; ++i) trace += gram[area(i, n) + static_cast<std::size_t>(i)];
    CHECK(trace / n > 0.4);  // squares of values in about 0.7 .. 1.2, some small ones not yet there
    CHECK(trace / n < 1.45);
}

}  // namespace
}  // namespace folio
