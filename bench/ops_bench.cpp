// Single operations of a layer at the sizes of `base` and `small`, under every set of kernels, on one thread and one
// per physical core. Each product stands beside the register peak of its own set and thread count, measured right
// before it, and beside the same product by the peers. Names of benchmarks end in KERNELS/PRODUCTS/THREADS, the best
// set first. A whole pass, a sample and a training step are timed by `folio bench`.
#include <benchmark/benchmark.h>

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "bench/peak.h"
#include "core/base/philox.h"
#include "core/model/config.h"
#include "core/ops/cpu/cpu_training_ops.h"
#include "native/host/cores.h"
#include "native/host/devices.h"
#include "native/host/failure.h"
#include "native/host/thread_pool.h"

#if defined(FOLIO_EIGEN)
#include "bench/peers/eigen_product.h"
#endif
#if defined(FOLIO_OPENBLAS)
#include <cblas.h>
#endif

namespace folio::bench {
namespace {

constexpr int pass_rows = 256;    // a page's forward pass
constexpr int batch_rows = 8192;  // a training step's rows
constexpr int update_rows = 512;  // those of them that go through at a time

std::string name_of(const CpuConfig& cpu) {
    return std::string(cpu.kernels->name) + "/" + folio::name_of(cpu.precision);
}

struct Size {
    const char* name;
    ModelConfig config;
};

/// `base` has the 128 ids that the peers have too.
std::vector<Size> sizes() {
    ModelConfig base, small;
    base.vocab_size = 128;
    small.d_model = 256;
    small.n_layer = 4;
    small.n_head = 4;
    small.d_ff = 1024;
    return {{"base", base}, {"small", small}};
}

/// `count` numbers in [-scale, scale), the same on every machine.
std::vector<float> random_values(std::size_t count, double scale) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<float>(scale * (2 * uniform(philox_word(1, i, 0, Purpose::initialise)) - 1));
    }
    return values;
}

/// Runs `body` as the benchmark, once beforehand to warm caches, threads and scratch; gives its rate in GFLOP/s.
template <class F>
double measure(benchmark::State& state, double flops, F&& body) {
    body();
    const auto begin = std::chrono::steady_clock::now();
    for (auto _ : state) body();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double rate = flops * static_cast<double>(state.iterations()) / time.count() * 1e-9;
    if (flops > 0) state.counters["GFLOP/s"] = rate;
    return rate;
}

/// Registers `f(state)` under `name`, timed by the wall clock in milliseconds.
template <class F>
benchmark::internal::Benchmark* add(const std::string& name, F&& f) {
    return benchmark::RegisterBenchmark(name.c_str(), f)->UseRealTime()->Unit(benchmark::kMillisecond);
}

/// A linear layer [out, in] of a model.
struct Layer {
    std::string name;
    int out, in;
};

std::vector<Layer> layers() {
    std::vector<Layer> result;
    for (const auto& [name, config] : sizes()) {
        const std::string prefix = std::string(name) + "/";
        const int d = config.d_model;
        result.push_back({prefix + "qkv", 3 * d, d});
        result.push_back({prefix + "c_proj", d, d});
        result.push_back({prefix + "up", config.d_ff, d});
        result.push_back({prefix + "down", d, config.d_ff});
        result.push_back({prefix + "head", config.vocab_size, d});
    }
    return result;
}

/// A matrix of random numbers and the memory that it lies in.
struct Values {
    Storage storage;
    Matrix matrix;

    Values(Ops& ops, int rows, int cols, double scale = 1)
        : storage(unwrap(ops.allocate(sizeof(float) * rows * cols))), matrix(storage.as<float>(), rows, cols) {
        ops.upload(matrix.data, random_values(static_cast<std::size_t>(rows) * cols, scale).data(), storage.bytes());
    }
};

/// Threads and operations of one benchmark.
struct Bench {
    ThreadPool parallel;
    CpuTrainingOps ops;
    CpuConfig cpu;

    Bench(const CpuConfig& cpu, int width) : parallel(width), ops(parallel, *cpu.kernels, cpu.precision), cpu(cpu) {}

    /// A benchmark of products: its rate, and its share of the peak of this moment.
    template <class F>
    void product(benchmark::State& state, double flops, F&& body) {
        const double peak = register_peak(cpu.kernels->name, cpu.precision, parallel);
        const double rate = measure(state, flops, body);
        if (peak <= 0) return;
        state.counters["peak"] = peak;
        state.counters["share"] = rate / peak;
    }
};

void add_products(const CpuConfig& cpu, int width, const std::string& suffix) {
    for (const Layer& layer : layers()) {
        const auto flops = [=](int rows) { return 2.0 * rows * layer.out * layer.in; };
        for (const int rows : {pass_rows, batch_rows}) {
            add("linear/" + layer.name + "/" + std::to_string(rows) + suffix, [=](benchmark::State& state) {
                Bench bench(cpu, width);
                const Values in(bench.ops, rows, layer.in), out(bench.ops, rows, layer.out),
                    w(bench.ops, layer.out, layer.in);
                PackedWeight weight;
                unwrap(bench.ops.pack(weight, {w.matrix.data}, layer.out, layer.in, false));
                bench.product(state, flops(rows), [&] { bench.ops.linear(out.matrix, in.matrix, weight, {}); });
            });
        }
        add("linear_backward_input/" + layer.name + suffix, [=](benchmark::State& state) {
            Bench bench(cpu, width);
            const Values dx(bench.ops, update_rows, layer.in), dy(bench.ops, update_rows, layer.out);
            const Values w(bench.ops, layer.out, layer.in);
            PackedWeight weight;
            unwrap(bench.ops.pack(weight, {w.matrix.data}, layer.out, layer.in, true));
            bench.product(state, flops(update_rows),
                          [&] { bench.ops.linear_backward_input(dx.matrix, dy.matrix, weight, nullptr); });
        });
        add("linear_backward_weight/" + layer.name + suffix, [=](benchmark::State& state) {
            Bench bench(cpu, width);
            const Values x(bench.ops, update_rows, layer.in), dy(bench.ops, update_rows, layer.out);
            const Values dw(bench.ops, layer.out, layer.in);
            bench.product(state, flops(update_rows),
                          [&] { bench.ops.linear_backward_weight(dw.matrix, dy.matrix, x.matrix); });
        });
    }
}

/// A product by another library, `f(out, in, weight, rows, cols, depth, threads)` on plain row-major matrices.
template <class F>
void add_peer(const char* name, int width, F&& f) {
    for (const Layer& layer : layers()) {
        for (const int rows : {pass_rows, batch_rows}) {
            const std::string title =
                "linear/" + layer.name + "/" + std::to_string(rows) + "/" + name + "/f32/" + std::to_string(width);
            add(title, [=](benchmark::State& state) {
                const std::vector<float> in = random_values(static_cast<std::size_t>(rows) * layer.in, 1);
                const std::vector<float> weight = random_values(static_cast<std::size_t>(layer.out) * layer.in, 1);
                std::vector<float> out(static_cast<std::size_t>(rows) * layer.out);
                measure(state, 2.0 * rows * layer.out * layer.in,
                        [&] { f(out.data(), in.data(), weight.data(), rows, layer.out, layer.in, width); });
            });
        }
    }
}

void add_others(const CpuConfig& cpu, int width, const std::string& suffix) {
    const ModelConfig config = sizes().front().config;
    const int d = config.d_model, rows = update_rows;
    const AttentionShape heads{pass_rows, config.n_head, config.head_dim(), false};
    // Two products of [length, length] by head_dim forward, five backward.
    const double product = 2.0 * rows * heads.length * d;

    add("attention" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values qkv(bench.ops, rows, 3 * d), out(bench.ops, rows, d), sums(bench.ops, rows, heads.n_head);
        bench.product(state, 2 * product,
                      [&] { bench.ops.attention(out.matrix, qkv.matrix, sums.matrix.data, heads); });
    });
    add("attention_backward" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values qkv(bench.ops, rows, 3 * d), dqkv(bench.ops, rows, 3 * d), out(bench.ops, rows, d),
            dout(bench.ops, rows, d);
        const Values sums(bench.ops, rows, heads.n_head);
        bench.ops.attention(out.matrix, qkv.matrix, sums.matrix.data, heads);
        bench.product(state, 5 * product, [&] {
            bench.ops.attention_backward(dqkv.matrix, dout.matrix, qkv.matrix, out.matrix, sums.matrix.data, heads);
        });
    });
    add("rms_norm" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values in(bench.ops, rows, d), out(bench.ops, rows, d);
        measure(state, 0, [&] { bench.ops.rms_norm(out.matrix, in.matrix, config.norm_eps); });
        state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * in.storage.bytes()));
    });
    add("rope_qk_norm" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values qkv(bench.ops, rows, 3 * d), rope(bench.ops, heads.length, heads.head_dim, 0.7);
        measure(state, 0,
                [&] { bench.ops.rope_qk_norm(qkv.matrix, rope.matrix.data, nullptr, heads, config.norm_eps); });
        state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * qkv.storage.bytes() * 2 / 3));
    });
    add("cross_entropy" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values logits(bench.ops, rows, config.vocab_size), dlogits(bench.ops, rows, config.vocab_size);
        const std::vector<int> targets(rows, 1);
        const std::vector<float> weights(rows, 1.f);
        std::vector<float> loss(rows);
        measure(state, 0, [&] {
            bench.ops.cross_entropy(dlogits.matrix, loss.data(), logits.matrix, targets.data(), weights.data(), -1);
        });
        state.SetItemsProcessed(state.iterations() * rows);
    });
    add("muon" + suffix, [=](benchmark::State& state) {
        Bench bench(cpu, width);
        const Values parameters(bench.ops, config.d_ff, d), momentum(bench.ops, config.d_ff, d),
            gradient(bench.ops, config.d_ff, d);
        const float scale = 1;
        const Muon options{1e-6f};
        measure(state, 0, [&] {
            bench.ops.muon(parameters.matrix.data, momentum.matrix.data, gradient.matrix.data, &scale, config.d_ff, d,
                           1, 0, &options);
        });
        state.SetItemsProcessed(state.iterations() * config.d_ff * d);
    });
}

void add_all() {
    for (const int width : std::set{1, physical_cores()}) {
        for (const CpuConfig& cpu : available_configs(false)) {
            const std::string suffix = "/" + name_of(cpu) + "/" + std::to_string(width);
            add_products(cpu, width, suffix);
            add_others(cpu, width, suffix);
        }
#if defined(FOLIO_EIGEN)
        add_peer("eigen", width, eigen_product);
#endif
#if defined(FOLIO_OPENBLAS)
        add_peer("openblas", width,
                 [](float* out, const float* in, const float* weight, int rows, int cols, int depth, int threads) {
                     openblas_set_num_threads(threads);
                     cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, cols, depth, 1, in, depth, weight,
                                 depth, 0, out, cols);
                 });
#endif
    }
}

}  // namespace
}  // namespace folio::bench

int main(int argc, char** argv) {
    try {
        folio::bench::add_all();
    } catch (const folio::Failure& failure) {
        folio::notice(failure.sentence);
        return failure.exit_code;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
}
