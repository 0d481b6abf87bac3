#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/process/gaussian.h"
#include "core/process/gaussian_bound.h"
#include "core/training/batches.h"

namespace folio {

namespace {

/// Noisy rows; the loss is of the characters, or of the noise.
class GaussianBatches final : public Batches {
public:
    using Batches::Batches;

    void corrupt(const Batch& batch, const std::uint32_t* step) override {
        const GaussianRows rows{batch.input.soft_tokens, batch.input.logit_bias, batch.target_rows, targets_.data(),
                                weights_.data()};
        const GaussianNoise noise{noise_.data(),
                                  features_.data(),
                                  config_.time_rows,
                                  conditioned_.data(),
                                  static_cast<float>(diffusion_->centre()),
                                  recipe_.seed,
                                  step};
        training_.corrupt_gaussian(rows, text_.data(), starts_.data(), batch.windows, batch.length, config_.vocab_size,
                                   noise);
    }

    bool adapts(int step) const override { return recipe_.refit_every > 0 && !trains_nelbo(recipe_, step); }
    void adapt(int step, const Batch& batch, std::span<const float> token_losses) override {
        losses_by_noise_.decay();
        for (std::size_t b = 0; b < windows_.size(); ++b) {
            const Window& window = windows_[b];
            if (window.has_prompt) continue;
            const auto losses = token_losses.subspan(b * static_cast<std::size_t>(batch.length),
                                                     static_cast<std::size_t>(batch.length));
            losses_by_noise_.add(window.level.neg_log_snr, std::accumulate(losses.begin(), losses.end(), 0.0) /
                                                               (window.loss_weight * batch.length));
        }
        if ((step + 1) % recipe_.refit_every == 0) {
            process_.gaussian.knots = losses_by_noise_.knots();
            diffusion_ = GaussianDiffusion::create(process_.gaussian, config_.vocab_size).value();
        }
    }
    LossByNoise* losses_by_noise() override { return &losses_by_noise_; }

private:
    /// Noise level of a window, and the loss weight of each of its positions.
    struct Window {
        NoiseLevel level;
        double loss_weight;
        bool has_prompt;
    };

    bool predicts_noise() const { return process_.gaussian.prediction == GaussianPrediction::eps; }

    Result<void> create_process() override {
        auto diffusion = GaussianDiffusion::create(process_.gaussian, config_.vocab_size);
        if (!diffusion) return tl::unexpected(diffusion.error());
        diffusion_ = std::move(*diffusion);
        return {};
    }

    void allocate_process(Allocations& room) override {
        const auto windows = static_cast<std::size_t>(recipe_.batch);
        room.add(noise_, windows + 1).add(features_, windows * config_.time_rows).add(conditioned_, capacity());
        room.add(soft_tokens_, capacity() * config_.input_width())
            .add(vocabulary_rows_, capacity() * config_.vocab_size);
    }

    /// Uniform numbers of window b in a step.
    double chance(int step, int b, int word) const {
        return uniform(philox(recipe_.seed, 2 + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(step),
                              Purpose::batch_draws)
                           .word[word]);
    }

    /// Which positions of the batch are conditioned, 1 or 0: in a share of the windows a prefix or any set of
    /// positions, at most half of them. Sets has_prompt.
    std::vector<int> draw_conditioned(int step, int length) {
        std::vector<int> conditioned(static_cast<std::size_t>(recipe_.batch) * length);
        for (int b = 0; b < recipe_.batch; ++b) {
            if (chance(step, b, 0) >= recipe_.prompt_share) continue;
            const int count = static_cast<int>(chance(step, b, 2) * length / 2);
            const auto window = std::span(conditioned).subspan(static_cast<std::size_t>(b) * length, length);
            if (chance(step, b, 1) < 0.5)
                std::fill_n(window.begin(), count, 1);
            else
                mask_positions(window, count, 1, recipe_.seed, static_cast<std::uint64_t>(b),
                               static_cast<std::uint32_t>(step), Purpose::mask_position);
            windows_[b].has_prompt = count > 0;
        }
        return conditioned;
    }

    /// Levels and loss weights of the windows, spread evenly over time from one offset, as the masked process spreads
    /// its counts. `scored`: positions that are not conditioned.
    void draw_levels(int step, double scored, bool nelbo) {
        const double offset =
            uniform(philox(recipe_.seed, 0, static_cast<std::uint32_t>(step), Purpose::batch_draws).word[0]);
        for (std::size_t b = 0; b < windows_.size(); ++b) {
            const double phase = offset + static_cast<double>(b) / static_cast<double>(windows_.size());
            const double u = phase - std::floor(phase);
            const NoiseSchedule& schedule = diffusion_->schedule();
            const auto [level, weight] =
                nelbo ? bound_draw(schedule, u)
                      : BoundDraw{schedule.training_level(u), predicts_noise() ? 1.0 / config_.vocab_size : 1};
            windows_[b].level = level;
            windows_[b].loss_weight = weight / scored;
        }
    }

    RowNoise row_noise(const NoiseLevel& level, double loss_weight) const {
        const double bias = process_.gaussian.matched_filter ? level.matched_filter() : 0;
        return {static_cast<float>(level.alpha), static_cast<float>(level.sigma),
                static_cast<float>(diffusion_->input_scale(level)), static_cast<float>(bias),
                static_cast<float>(loss_weight)};
    }

    void draw_process(int step, Batch& batch) override {
        const bool nelbo = !predicts_noise() && trains_nelbo(recipe_, step);
        windows_.assign(static_cast<std::size_t>(batch.windows), {});
        const std::vector<int> conditioned = draw_conditioned(step, batch.length);
        draw_levels(step, static_cast<double>(std::count(conditioned.begin(), conditioned.end(), 0)), nelbo);

        std::vector<RowNoise> noise;
        std::vector<float> features(windows_.size() * config_.time_rows);
        for (const Window& window : windows_) {
            const auto row = std::span(features).subspan(noise.size() * config_.time_rows, config_.time_rows);
            diffusion_->schedule().features(window.level, row);
            noise.push_back(row_noise(window.level, window.loss_weight));
        }
        noise.push_back(row_noise(diffusion_->schedule().level(0), 0));
        noise_.upload(ops_, noise);
        features_.upload(ops_, features);
        conditioned_.upload(ops_, conditioned);

        const int rows = batch.windows * batch.length;
        const Matrix vocabulary_rows{vocabulary_rows_.data(), rows, config_.vocab_size};
        batch.input.soft_tokens = {soft_tokens_.data(), rows, config_.input_width()};
        if (process_.gaussian.matched_filter) batch.input.logit_bias = vocabulary_rows;
        if (predicts_noise()) batch.target_rows = vocabulary_rows;
        batch.loss = predicts_noise() ? BatchLoss::squared_error : nelbo ? BatchLoss::brier : BatchLoss::cross_entropy;
        batch.self_conditioned =
            config_.self_conditioning &&
            uniform(philox(recipe_.seed, 1, static_cast<std::uint32_t>(step), Purpose::batch_draws).word[0]) <
                recipe_.self_conditioning;
    }

    std::optional<GaussianDiffusion> diffusion_;
    LossByNoise losses_by_noise_;
    std::vector<Window> windows_;         // of the last batch
    DeviceArray<RowNoise> noise_;         // [batch + 1], the last of conditioned positions
    DeviceArray<float> features_;         // [batch, time_rows]
    DeviceArray<int> conditioned_;        // [R]
    DeviceArray<float> soft_tokens_;      // [R, input_width]
    DeviceArray<float> vocabulary_rows_;  // [R, V] logit bias, or the noise as target
};

}  // namespace

std::unique_ptr<Batches> gaussian_batches(const BatchContext& context) {
    return std::make_unique<GaussianBatches>(context);
}

}  // namespace folio
