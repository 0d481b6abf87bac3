#include "core/predict/kernel_self_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/philox.h"
#include "core/ops/cpu/exact_ops.h"
#include "core/ops/cpu/make_ops.h"

namespace folio {

Result<KernelSelfTest> KernelSelfTest::create(Parallel& parallel, const KernelSet& kernels, Precision precision,
                                              int d_model, int length, Kind kind) {
    ModelConfig config;
    config.vocab_size = 17;
    config.seq_len = kind.wide ? std::max(length, ExactOps::longest_integer_attention) : length;
    config.time_rows = kind.wide ? 3 : 0;
    config.conv_radius = kind.wide ? 0 : 2;
    config.d_model = d_model;
    config.n_layer = 1;
    config.n_head = d_model / 64;
    config.d_ff = 4 * d_model;

    const auto chance = [](std::size_t i) { return uniform(philox_word(1, i, 0, Purpose::initialise)); };
    const bool exact = precision == Precision::int8;
    std::vector<float> values(exact ? embedding_count(config) : parameter_count(config));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = kind.extreme ? 0.1f : static_cast<float>(0.2 * chance(i) - 0.1);
    std::vector<std::int8_t> whole(parameter_count(config) - values.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        // d_model divides every row's length, so that whole rows are of one sign.
        const int bound = i / static_cast<std::size_t>(d_model) % 2 ? 127 : -128;
        whole[i] = static_cast<std::int8_t>(kind.extreme ? bound : static_cast<int>(255 * chance(i)) - 127);
    }
    const std::vector<float> scales(channel_count(config), 0.1f / 127);

    KernelSelfTest test;
    const KernelSet* sets[] = {&kernels};
    test.ops_ = make_ops(parallel, sets, precision);
    auto denoiser = Denoiser::create(
        *test.ops_, config, exact ? Parameters(values.data(), whole.data(), scales.data()) : Parameters(values.data()),
        false);
    if (!denoiser) return tl::unexpected(denoiser.error());
    test.denoiser_ = std::make_unique<Denoiser>(std::move(*denoiser));
    test.network_ = std::make_unique<HostForward>(*test.denoiser_);
    for (int i = 0; i < length; ++i) test.ids_.push_back(i % config.vocab_size);
    if (kind.wide) test.times_.push_back(1);
    test.logits_.resize(test.ids_.size() * static_cast<std::size_t>(config.vocab_size));
    return test;
}

Result<void> KernelSelfTest::pass() {
    return network_->forward(ids_, times_, 1, static_cast<int>(ids_.size()), logits_);
}

Comparison compare_logits(std::span<const float> actual, std::span<const float> expected, Precision precision) {
    if (actual.size() != expected.size() || actual.empty()) return {};
    Comparison comparison;
    double largest = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
        if (difference > comparison.largest_difference || std::isnan(difference))
            comparison.largest_difference = difference;  // a NaN stays
        largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    }
    comparison.good = precision == Precision::int8
                          ? std::memcmp(actual.data(), expected.data(), actual.size_bytes()) == 0
                          : comparison.largest_difference <= (precision == Precision::bf16 ? 0.1 : 1e-3) * largest;
    return comparison;
}

bool passes_self_test(const KernelSet& kernels, Precision precision) {
    const KernelSet& baseline = *available_kernels().back();
    if (&kernels == &baseline) return true;
    Serial serial;
    const auto logits = [&](const KernelSet& set, Precision arithmetic, KernelSelfTest::Kind kind) {
        auto test = KernelSelfTest::create(serial, set, arithmetic, 64, 19, kind);
        const bool done = test && test->pass();
        return done ? test->logits() : std::vector<float>();
    };
    for (const KernelSelfTest::Kind kind :
         {KernelSelfTest::Kind{false, false}, {true, false}, {false, true}, {true, true}}) {
        const std::vector<float> expected =
            logits(baseline, precision == Precision::bf16 ? Precision::f32 : precision, kind);
        if (!compare_logits(logits(kernels, precision, kind), expected, precision).good) return false;
    }
    return true;
}

}  // namespace folio
