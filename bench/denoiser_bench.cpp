// A forward pass of 256 characters and a whole sample of them, under every set of kernels. Random weights.
#include "bench/bench.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/host_forward.h"
#include "core/sampling/masked_sampler.h"
#include "core/weights/quantise.h"
#include "native/host/models.h"

namespace folio::bench {
namespace {

constexpr int length = 256;
constexpr int sampling_steps = 32;

/// Operations of one pass of a sequence: the products of the layers, and those of attention.
double pass_flops(const ModelConfig& config) {
    const double d = config.d_model;
    const double weights = config.n_layer * (4 * d * d + 2 * d * config.d_ff) + d * config.vocab_size;
    return 2.0 * length * weights + 4.0 * config.n_layer * length * length * d;
}

void add_model(const Size& size, const CpuConfig& cpu, int width) {
    const ModelConfig& config = size.config;
    const std::string suffix = std::string("/") + size.name + "/" + name_of(cpu) + "/" + std::to_string(width);
    const auto random_denoiser = [config, cpu](Ops& ops) {
        ModelFile model;
        model.config = config;
        model.parameters = random_values(parameter_count(config), 0.1);
        return make_denoiser(ops, cpu.precision == Precision::int8 ? quantise(model).value() : model);
    };
    add("forward" + suffix, [=](benchmark::State& state) {
        ThreadPool parallel(width);
        const auto ops = make_ops(parallel, {&cpu.kernels, 1}, cpu.precision);
        Denoiser denoiser = random_denoiser(*ops);
        HostForward network(denoiser);
        std::vector<int> ids(length);
        for (int i = 0; i < length; ++i) ids[i] = 7 * i % config.vocab_size;
        std::vector<float> logits(static_cast<std::size_t>(length) * config.vocab_size);
        measure(state, pass_flops(config), [&] { unwrap(network.forward(ids, {}, 1, length, logits)); });
    });
    add("sampling" + suffix, [=](benchmark::State& state) {
        ThreadPool parallel(width);
        const auto ops = make_ops(parallel, {&cpu.kernels, 1}, cpu.precision);
        Denoiser denoiser = random_denoiser(*ops);
        const ProcessConfig process{ProcessKind::masked, config.vocab_size - 1};
        SamplingRequest request;
        request.options.steps = sampling_steps;
        request.conditioned.assign(length, -1);
        measure(state, 0, [&] {
            const auto sampler = unwrap(make_sampler(denoiser, process, request));
            while (!sampler->done()) unwrap(sampler->step());
        });
        state.SetItemsProcessed(state.iterations() * length);
    });
}

void add_all() {
    for (const Size& size : sizes()) {
        for (const int width : widths()) {
            for (const bool exact : {false, true})
                for (const CpuConfig& cpu : available_configs(exact)) add_model(size, cpu, width);
        }
    }
}

}  // namespace
}  // namespace folio::bench

int main(int argc, char** argv) { return folio::bench::run(argc, argv, folio::bench::add_all); }
