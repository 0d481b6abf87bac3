#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/model/config.h"
#include "core/ops/cpu/cpu_training_ops.h"
#include "native/host/devices.h"
#include "native/host/failure.h"
#include "native/host/threads.h"

/// Shared parts of the benches. Names of benchmarks end in KERNELS/PRODUCTS/THREADS, the best set first.
namespace folio::bench {

inline std::string name_of(const CpuConfig& cpu) {
    return std::string(cpu.kernels->name) + "/" + folio::name_of(cpu.precision);
}

/// Thread counts: one, and one per physical core.
inline std::set<int> widths() { return {1, physical_cores()}; }

struct Size {
    const char* name;
    ModelConfig config;
};

/// `base` with the 128 ids that the peers have too and, as they are, without a convolution; `small` as it is trained,
/// and without its convolution, to tell what that costs.
inline std::vector<Size> sizes() {
    ModelConfig base, small;
    base.vocab_size = 128;
    small.d_model = 256;
    small.n_layer = 4;
    small.n_head = 4;
    small.d_ff = 1024;
    ModelConfig plain = small;
    small.conv_radius = 3;
    return {{"base", base}, {"small", small}, {"small_without_conv", plain}};
}

/// `count` numbers in [-scale, scale), the same on every machine.
inline std::vector<float> random_values(std::size_t count, double scale) {
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

/// The whole of a bench program: `add_all` registers, the arguments choose (`--help` says how).
template <class F>
int run(int argc, char** argv, F&& add_all) {
    try {
        add_all();
    } catch (const Failure& failure) {
        notice(failure.sentence);
        return failure.exit_code;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}

}  // namespace folio::bench
