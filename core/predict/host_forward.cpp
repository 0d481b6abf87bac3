#include "core/predict/host_forward.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace folio {

namespace {

/// Rows that a convolution reads for `output_rows`, which ascend, and the indices of these among them.
struct Neighbourhood {
    std::vector<int> rows, output;

    Neighbourhood(std::span<const int> output_rows, const LocalConv& conv) {
        assert(std::is_sorted(output_rows.begin(), output_rows.end()));
        for (const int row : output_rows) {
            const auto [first_k, last_k] = conv.reads(row % conv.length);
            int next = row + first_k;
            if (!rows.empty()) next = std::max(next, rows.back() + 1);
            for (; next <= row + last_k; ++next) rows.push_back(next);
            output.push_back(static_cast<int>(rows.size()) - 1 - (rows.back() - row));
        }
    }
};

}  // namespace

Result<void> HostForward::forward(std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                                  std::span<float> logits, std::span<const int> output_rows) {
    const bool convolved = config().conv_radius > 0;
    const LocalConv conv{nullptr, config().conv_radius, config().causal, length, nullptr};
    const Neighbourhood read(convolved ? output_rows : std::span<const int>(), conv);
    const std::span<const int> projected = convolved ? read.rows : output_rows;
    const auto buffer =
        input_buffer((ids.size() + time_row.size() + projected.size() + read.output.size()) * sizeof(int));
    if (!buffer) return tl::unexpected(buffer.error());
    int* next = *buffer;
    const auto upload = [&](std::span<const int> values) {
        denoiser_->ops().upload(next, values.data(), values.size_bytes());
        return std::exchange(next, next + values.size());
    };
    const Input input{upload(ids), upload(time_row), {}, {}};
    if (output_rows.empty()) return run(input, batch, length, {}, logits);

    PassOptions options;
    options.rows.projected = {upload(projected), static_cast<int>(projected.size())};
    options.rows.output = {upload(read.output), static_cast<int>(read.output.size())};
    const auto vocab_size = static_cast<std::size_t>(config().vocab_size);
    output_logits_.resize(output_rows.size() * vocab_size);
    if (auto done = run(input, batch, length, options, output_logits_); !done) return done;
    for (std::size_t i = 0; i < output_rows.size(); ++i)
        std::copy_n(&output_logits_[i * vocab_size], vocab_size,
                    &logits[static_cast<std::size_t>(output_rows[i]) * vocab_size]);
    return {};
}

Result<void> HostForward::forward_soft_tokens(std::span<const float> soft_tokens, std::span<const float> logit_bias,
                                              int batch, int length, std::span<float> logits) {
    const auto buffer = input_buffer(soft_tokens.size_bytes() + logit_bias.size_bytes());
    if (!buffer) return tl::unexpected(buffer.error());
    auto* device = reinterpret_cast<float*>(*buffer);
    denoiser_->ops().upload(device, soft_tokens.data(), soft_tokens.size_bytes());
    denoiser_->ops().upload(device + soft_tokens.size(), logit_bias.data(), logit_bias.size_bytes());
    Input input;
    input.soft_tokens = {device, batch * length, config().input_width()};
    if (!logit_bias.empty()) input.logit_bias = {device + soft_tokens.size(), batch * length, config().vocab_size};
    return run(input, batch, length, {}, logits);
}

Result<void> HostForward::decode(std::span<const int> ids, int n_cached, std::span<float> logits) {
    kv_cache_.n_cached = n_cached;
    if (auto room = kv_cache_.reserve(denoiser_->ops(), config(), static_cast<int>(ids.size())); !room) return room;
    const std::span<const int> fresh = ids.subspan(static_cast<std::size_t>(kv_cache_.n_cached));
    const int count = static_cast<int>(fresh.size()), rows = static_cast<int>(logits.size()) / config().vocab_size;
    std::vector<int> input(fresh.begin(), fresh.end());
    if (rows < count)
        for (int row = count - rows; row < count; ++row) input.push_back(row);
    const auto buffer = input_buffer(input.size() * sizeof(int));
    if (!buffer) return tl::unexpected(buffer.error());
    denoiser_->ops().upload(*buffer, input.data(), input.size() * sizeof(int));
    PassOptions options;
    options.kv_cache = &kv_cache_;
    // The convolution's input of every position is cached, so that all are projected.
    if (rows < count)
        (config().conv_radius > 0 ? options.rows.output : options.rows.projected) = {*buffer + count, rows};
    return run({*buffer, nullptr, {}, {}}, 1, count, options, logits);
}

Result<void> HostForward::run(const Input& input, int batch, int length, const PassOptions& options,
                              std::span<float> logits) {
    const auto out = denoiser_->forward(input, batch, length, options);
    if (!out) return tl::unexpected(out.error());
    denoiser_->ops().download(logits.data(), out->data, logits.size_bytes());
    return denoiser_->ops().synchronize();
}

Result<int*> HostForward::input_buffer(std::size_t bytes) {
    if (input_.bytes() < bytes) {
        auto input = denoiser_->ops().allocate(bytes);
        if (!input) return tl::unexpected(input.error());
        input_ = std::move(*input);
    }
    return input_.as<int>();
}

}  // namespace folio
