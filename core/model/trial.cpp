#include "core/model/trial.h"

#include <cmath>
#include <cstring>

#include "core/base/philox.h"
#include "core/ops/exact_ops.h"

namespace folio {
namespace {

bool agree(const std::vector<float>& a, const std::vector<float>& b, Precision precision) {
    if (precision == Precision::int8) return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
        if (!(difference <= worst)) worst = difference;  // a NaN stays
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    }
    return worst <= (precision == Precision::bf16 ? 0.1 : 1e-4) * largest;
}

}  // namespace

std::unique_ptr<CpuOps> make_ops(Parallel& parallel, const KernelSet& kernels, Precision precision) {
    if (precision == Precision::int8) return std::make_unique<ExactOps>(parallel, kernels);
    return std::make_unique<CpuOps>(parallel, kernels, precision);
}

Result<Trial> Trial::create(Parallel& parallel, const KernelSet& kernels, Precision precision, int d_model, int length) {
    ModelConfig config;
    config.vocab_size = 17;
    config.seq_len = length;
    config.d_model = d_model;
    config.n_layer = 1;
    config.n_head = d_model / 64;
    config.d_ff = 4 * d_model;

    const auto chance = [](std::size_t i) { return uniform(philox_word(1, i, 0, Purpose::initialise)); };
    const bool exact = precision == Precision::int8;
    std::vector<float> values(exact ? embedding_count(config) : parameter_count(config));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(0.2 * chance(i) - 0.1);
    std::vector<std::int8_t> whole(parameter_count(config) - values.size());
    for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<std::int8_t>(static_cast<int>(255 * chance(i)) - 127);
    const std::vector<float> scales(channel_count(config), 0.1f / 127);

    Trial trial;
    trial.ops_ = make_ops(parallel, kernels, precision);
    auto denoiser = Denoiser::create(
        *trial.ops_, config, exact ? Parameters(values.data(), whole.data(), scales.data()) : Parameters(values.data()), false);
    if (!denoiser) return tl::unexpected(denoiser.error());
    trial.denoiser_ = std::make_unique<Denoiser>(std::move(*denoiser));
    for (int i = 0; i < length; ++i) trial.ids_.push_back(i % config.vocab_size);
    trial.logits_.resize(trial.ids_.size() * static_cast<std::size_t>(config.vocab_size));
    return trial;
}

Result<void> Trial::pass() { return denoiser_->predict(ids_, {}, 1, static_cast<int>(ids_.size()), logits_); }

bool trustworthy(const KernelSet& kernels, Precision precision) {
    const KernelSet& plainest = *available_kernels().back();
    if (&kernels == &plainest) return true;
    Serial serial;
    const auto logits = [&](const KernelSet& set, Precision arithmetic) {
        auto trial = Trial::create(serial, set, arithmetic, 64, 19);
        const bool done = trial && trial->pass();
        return done ? trial->logits() : std::vector<float>();
    };
    const std::vector<float> expected = logits(plainest, precision == Precision::bf16 ? Precision::f32 : precision);
    const std::vector<float> actual = logits(kernels, precision);
    return actual.size() == expected.size() && !actual.empty() && agree(actual, expected, precision);
}

const KernelSet& best_kernels(Precision precision) {
    for (const KernelSet* set : available_kernels()) {
        if (precision == Precision::bf16 && !set->bf16) continue;
        if (trustworthy(*set, precision)) return *set;
    }
    return *available_kernels().back();
}

}  // namespace folio
