// The GPU's operations at the sizes of a training step of `base` on 64 windows of 256, one by one, each beside its
// floor: the bytes that it must move and the products that it must compute, at the rates of one H200.
#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <vector>

#include "core/base/philox.h"
#include "native/cuda/cuda_ops.h"

namespace {

using namespace folio;

constexpr int batch = 64, length = 256, rows = batch * length, d = 384, d_ff = 1536, n_head = 6, characters = 66;
constexpr double bytes_per_s = 4.8e12, flops_per_s = 989e12;

class Bench {
public:
    explicit Bench(CudaOps& ops) : ops_(ops) {}

    /// [n, cols] of numbers in -1 .. 1.
    Matrix matrix(int n, int cols) {
        std::vector<float> values(static_cast<std::size_t>(n) * cols);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(2 * uniform(philox_word(1, i, 0, Purpose::draw)) - 1);
        return {put(values), n, cols};
    }
    template <class T>
    T* put(const std::vector<T>& values) {
        storages_.push_back(ops_.allocate(values.size() * sizeof(T)).value());
        ops_.upload(storages_.back().template as<T>(), values.data(), values.size() * sizeof(T));
        return storages_.back().template as<T>();
    }

    /// `floats` are moved and `products` (times two operations) computed at least.
    void time(const char* name, double floats, double products, const std::function<void()>& operation) {
        constexpr int repetitions = 50;
        using Clock = std::chrono::steady_clock;
        for (int i = 0; i < 3; ++i) operation();
        if (auto done = ops_.synchronize(); !done) return fmt::print("{:<28} {}\n", name, done.error().sentence);
        const auto begin = Clock::now();
        for (int i = 0; i < repetitions; ++i) operation();
        const auto done = ops_.synchronize();
        const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / repetitions;
        const double floor = 1e6 * std::max(4 * floats / bytes_per_s, 2 * products / flops_per_s);
        fmt::print("{:<28} {:>9.1f} us, floor {:>6.1f} us, {:>5.1f} x\n", name, us, floor, us / floor);
    }

private:
    CudaOps& ops_;
    std::vector<Storage> storages_;
};

}  // namespace

int main() {
    auto made = make_cuda_ops(Precision::bf16);
    if (!made) {
        fmt::print("{}\n", made.error().sentence);
        return 1;
    }
    CudaOps& ops = **made;
    fmt::print("{}, bf16, {} rows\n", ops.name(), rows);
    Bench bench(ops);
    const double R = rows;
    const Matrix x = bench.matrix(rows, d), y = bench.matrix(rows, d), wide = bench.matrix(rows, d_ff),
                 d_wide = bench.matrix(rows, d_ff);
    const Matrix qkv = bench.matrix(rows, 3 * d), d_qkv = bench.matrix(rows, 3 * d),
                 logits = bench.matrix(rows, characters);
    const Matrix dw = bench.matrix(3 * d, d), dw_up = bench.matrix(d_ff, d);
    PackedWeight w_qkv, w_proj, w_up, w_down, head;
    const auto pack = [&](PackedWeight& weight, int out, int in) {
        const Matrix values = bench.matrix(out, in);
        return ops.pack(weight, {values.data}, out, in, true).has_value();
    };
    if (!pack(w_qkv, 3 * d, d) || !pack(w_proj, d, d) || !pack(w_up, d_ff, d) || !pack(w_down, d, d_ff) ||
        !pack(head, characters, d))
        return 1;
    float *rms = bench.matrix(rows, 2 * n_head).data, *sums = bench.matrix(rows, n_head).data,
          *loss = bench.matrix(rows, 1).data;
    const float *rope = bench.matrix(length, d / n_head).data, *weights = bench.matrix(rows, 1).data;
    const int* ids = bench.put(std::vector<int>(rows, 5));
    const AttentionShape heads{length, n_head, d / n_head, false, 4 * length};

    bench.time("rms_norm", 2 * R * d, 0, [&] { ops.rms_norm(y, x, 1e-7f); });
    bench.time("linear q|k|v", R * 4 * d, R * d * 3 * d, [&] { ops.linear(qkv, x, w_qkv, {}); });
    bench.time("rope_qk_norm", R * 4 * d, 0, [&] { ops.rope_qk_norm(qkv, rope, rms, heads, 1e-7f); });
    bench.time("attention", R * 4 * d, 2. * R * length * d, [&] { ops.attention(y, qkv, sums, heads); });
    bench.time("linear c_proj, residual", R * 3 * d, R * d * d, [&] {
        ops.linear(x, y, w_proj, {Epilogue::Kind::residual, x, {}});
    });
    bench.time("linear up, relu2", R * (d + d_ff), R * d * d_ff, [&] {
        ops.linear(wide, x, w_up, {Epilogue::Kind::relu2, {}, {}});
    });
    bench.time("linear down, residual", R * (2 * d + d_ff), R * d * d_ff, [&] {
        ops.linear(y, wide, w_down, {Epilogue::Kind::residual, y, {}});
    });
    bench.time("linear head", R * (d + characters), R * d * characters, [&] { ops.linear(logits, x, head, {}); });
    bench.time("cross_entropy", 2 * R * characters, 0,
               [&] { ops.cross_entropy(logits, loss, logits, ids, weights, -1); });
    bench.time("backward input, relu2", R * (d + 2 * d_ff), R * d * d_ff,
               [&] { ops.linear_backward_input(d_wide, x, w_down, &wide); });
    bench.time("backward input, up", R * (d + d_ff), R * d * d_ff,
               [&] { ops.linear_backward_input(y, d_wide, w_up, nullptr); });
    bench.time("backward input, q|k|v", R * 4 * d, R * d * 3 * d,
               [&] { ops.linear_backward_input(y, d_qkv, w_qkv, nullptr); });
    bench.time("backward weight, up", R * (d + d_ff), R * d * d_ff,
               [&] { ops.linear_backward_weight(dw_up, d_wide, x); });
    bench.time("backward weight, q|k|v", R * 4 * d, R * d * 3 * d, [&] { ops.linear_backward_weight(dw, d_qkv, x); });
    bench.time("attention_backward", R * 8 * d, 5. * R * length * d,
               [&] { ops.attention_backward(d_qkv, x, qkv, y, sums, heads); });
    bench.time("rope_qk_norm_backward", R * 6 * d, 0, [&] { ops.rope_qk_norm_backward(d_qkv, qkv, rope, rms, heads); });
    bench.time("rms_norm_backward", 4 * R * d, 0, [&] { ops.rms_norm_backward(y, x, x, 1e-7f); });
    bench.time("embed_backward", R * d, 0, [&] {
        ops.embed_backward({dw.data, characters, d}, {}, x, ids, nullptr, length);
    });
    const std::size_t count = 10'657'536;  // parameters of base
    const int million = static_cast<int>(count / 1024);
    float *p = bench.matrix(million, 1024).data, *m = bench.matrix(million, 1024).data,
          *v = bench.matrix(million, 1024).data;
    const float *g = bench.matrix(million, 1024).data, *one = bench.put(std::vector{1.f});
    const auto* adamw = bench.put(std::vector{AdamW{1e-6f}});
    const auto* muon = bench.put(std::vector{Muon{1e-6f}});
    auto* norm = bench.put(std::vector<double>(1));
    const std::size_t used = static_cast<std::size_t>(million) * 1024;
    bench.time("sum_of_squares", static_cast<double>(used), 0, [&] { ops.sum_of_squares(norm, g, used); });
    bench.time("adamw", 7. * static_cast<double>(used), 0, [&] { ops.adamw(p, m, v, g, one, used, adamw); });
    bench.time("ema", 3. * static_cast<double>(used), 0, [&] { ops.ema(v, p, one, used, one); });
    const double square = double(d) * d;
    bench.time("muon, 6 of 1536 x 384", 6. * 6 * d * d_ff, 6 * 5 * (2 * square * d_ff + square * d),
               [&] { ops.muon(p, m, g, one, d_ff, d, 6, static_cast<std::size_t>(d) * d_ff, muon); });
}
