#include "core/sampling/gaussian_sampler.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/base/normals.h"

namespace folio {

namespace {

constexpr double stable_probability = 0.95;

int most_passes(const GaussianConfig& process) {
    return process.schedule == GaussianSchedule::linear ? process.steps : std::numeric_limits<int>::max();
}

}  // namespace

GaussianSampler::GaussianSampler(Denoiser& denoiser, const ProcessConfig& process,
                                 std::unique_ptr<GaussianDiffusion> diffusion, SamplingRequest request,
                                 const Proofreader* proofreader)
    : BlockSampler(std::move(request), denoiser.config(), -1, most_passes(process.gaussian), proofreader),
      diffusion_(std::move(diffusion)),
      network_(denoiser, *diffusion_, process.gaussian.matched_filter, window_length()),
      row_is_noised_(static_cast<std::size_t>(window_length())),
      self_cond_(denoiser.config().self_conditioning ? network_.z().size() : 0),
      renoise_percent_(request_.conditioned.size()),
      renoised_id_(request_.conditioned.size(), -1),
      argmax_(row_is_noised_.size(), -1),
      eps_(static_cast<std::size_t>(vocab_size_)),
      x_hat_(network_.z().size()),
      char_logits_(x_hat_.size()),
      likelihood_(eps_.size()) {
    apply_due_edits();
}

Result<GaussianSampler> GaussianSampler::create(Denoiser& denoiser, const ProcessConfig& process,
                                                SamplingRequest request, const Proofreader* proofreader) {
    if (auto ok = check(request, ProcessKind::gaussian, denoiser.config().vocab_size, -1); !ok)
        return tl::unexpected<Error>(ok.error());
    auto diffusion = GaussianDiffusion::create(process.gaussian, denoiser.config().vocab_size);
    if (!diffusion) return tl::unexpected<Error>(diffusion.error());
    return GaussianSampler(denoiser, process, std::make_unique<GaussianDiffusion>(std::move(*diffusion)),
                           std::move(request), proofreader);
}

std::span<const double> GaussianSampler::eps(int position, Purpose purpose) {
    const std::uint64_t row = request_.sample * request_.conditioned.size() + static_cast<std::uint64_t>(position);
    normals(eps_, request_.options.seed, row, static_cast<std::uint32_t>(now_.step), purpose);
    return eps_;
}

void GaussianSampler::noise() {
    const NoiseLevel t = diffusion_->schedule().level(static_cast<double>(now_.step) / noising_steps_);
    std::vector<float> z(eps_.size());
    for (int position = 0; position < length(); ++position) {
        if (now_.flags[position] & position_conditioned) continue;
        // The same eps at every level, so that a row changes smoothly.
        normals(eps_, request_.options.seed,
                request_.sample * request_.conditioned.size() + static_cast<std::uint64_t>(position), 0,
                Purpose::noise_text);
        diffusion_->noised(t, request_.text[position], eps_, z);
        diffusion_->likelihood(t, z, likelihood_);
        record_prediction(position, likelihood_);
        hide(position);
        now_.flags[position] = 0;
    }
}

void GaussianSampler::renoise(int from, int to, int percent) {
    const int first = now_.window_first;
    for (int position = from; position <= to; ++position) {
        if (now_.flags[position] & position_conditioned) continue;
        const bool in_window = now_.step < now_.block_end && position >= first && position < first + window_length();
        if (is_revealed(now_.flags[position])) {
            renoised_id_[position] = now_.id[position];
            hide(position);
        } else if (in_window && row_is_noised_[position - first]) {
            now_.flags[position] = position_reopened;
        } else {
            continue;  // it is to begin as noise
        }
        renoise_percent_[position] = static_cast<std::uint8_t>(percent);
    }
}

int GaussianSampler::begins_at(const std::vector<std::uint8_t>& flags, Window window) const {
    int latest = 0;
    for (int position = window.first; position < window.first + window.length; ++position) {
        if (is_unrevealed(flags[position]))
            latest = std::max(latest, renoise_percent_[position] > 0 ? int{renoise_percent_[position]} : 100);
    }
    return latest;
}

int GaussianSampler::passes_again(const std::vector<std::uint8_t>& flags, Window window) const {
    return ceil_mul_div(steps_, begins_at(flags, window), 100);
}

Result<void> GaussianSampler::unmask_step() {
    std::vector<std::uint8_t> before(extra_state_size());
    save_extra(before.data());
    auto ok = take_pass();
    if (!ok) load_extra(before.data());
    return ok;
}

Result<void> GaussianSampler::take_pass() {
    const int first = now_.window_first, window = window_length();
    if (pass() == 1) {
        std::fill(row_is_noised_.begin(), row_is_noised_.end(), std::uint8_t{0});
        std::fill(self_cond_.begin(), self_cond_.end(), 0.f);
        std::fill(argmax_.begin(), argmax_.end(), -1);
        block_start_percent_ = static_cast<std::uint8_t>(begins_at(now_.flags, {first, window}));
    }
    const double begin = block_start_percent_ / 100.0;
    const auto after = [&](int done) { return diffusion_->schedule().level(begin * (passes() - done) / passes()); };
    const NoiseLevel t = after(pass() - 1), s = after(pass());
    const SamplingOptions& options = request_.options;
    const NoiseLevel u = *options.sampler == SamplerKind::churn ? diffusion_->schedule().churned(t, options.churn) : t;
    prepare_rows(t, u);
    if (auto ok = network_.forward(
            u, [&](int i) { return is_revealed_here(i); }, self_cond_);
        !ok)
        return ok;
    logits_.assign(network_.output().begin(), network_.output().end());
    if (auto ok = estimate_rows(u, s); !ok) return ok;

    const bool stable = is_stable();
    if (stable) now_.passes_saved += passes() - pass();
    if (stable || pass() == passes()) {
        draw_characters();
    } else {
        const StepCoefficients move = *options.sampler == SamplerKind::ddpm ? ddpm(u, s) : ddim(u, s);
        for (int i = 0; i < window; ++i) {
            if (is_revealed_here(i)) continue;
            const auto noise = move.eps != 0 ? eps(first + i, Purpose::reverse) : std::span<const double>();
            diffusion_->apply(move, x_hat(i), noise, network_.z(i));
        }
    }
    std::fill_n(renoise_percent_.begin() + first, window, std::uint8_t{0});
    std::fill_n(renoised_id_.begin() + first, window, -1);
    return {};
}

void GaussianSampler::prepare_rows(const NoiseLevel& t, const NoiseLevel& u) {
    const int first = now_.window_first;
    for (int i = 0; i < window_length(); ++i) {
        const auto z = network_.z(i);
        if (is_revealed_here(i)) {
            diffusion_->noised(diffusion_->schedule().conditioned(u), now_.id[first + i],
                               eps(first + i, Purpose::conditioned), z);
            row_is_noised_[i] = 0;
            if (pass() > 1) set_self_cond(i, now_.id[first + i]);
            continue;
        }
        const NoiseLevel back = diffusion_->schedule().level(std::max(t.t, renoise_percent_[first + i] / 100.0));
        if (row_is_noised_[i] && back.neg_log_snr > t.neg_log_snr) {
            diffusion_->apply(diffuse(t, back), {}, eps(first + i, Purpose::pure_noise), z);
            set_self_cond(i, -1);  // what was made of it before would give it away
        } else if (!row_is_noised_[i]) {
            if (renoised_id_[first + i] >= 0)
                diffusion_->noised(back, renoised_id_[first + i], eps(first + i, Purpose::pure_noise), z);
            else
                diffusion_->apply({0, 0, t.sigma}, {}, eps(first + i, Purpose::pure_noise), z);
            set_self_cond(i, -1);
        }
        row_is_noised_[i] = 1;
        if (u.neg_log_snr > t.neg_log_snr) diffusion_->apply(diffuse(t, u), {}, eps(first + i, Purpose::churn), z);
    }
}

Result<void> GaussianSampler::estimate_rows(const NoiseLevel& u, const NoiseLevel& s) {
    const SamplingOptions options = options_of_pass();
    const bool x0 = diffusion_->prediction() == GaussianPrediction::x0;
    for (int i = 0; i < window_length(); ++i) {
        if (is_revealed_here(i)) continue;
        const auto output = network_.output(i);
        if (!diffusion_->estimate(u, network_.z(i), output, x_hat(i), x0 ? options.temperature : 1,
                                  x0 ? options.top_k : 0)) {
            return not_finite();
        }
        const auto logits = char_logits(i);
        if (x0) {
            std::copy(output.begin(), output.end(), logits.begin());
        } else {
            // An eps model has no logits: those of the row where the noiseless (DDIM) step leads stand in for them.
            std::vector<float> z(network_.z(i).begin(), network_.z(i).end());
            const NoiseLevel there = pass() < passes() ? s : diffusion_->schedule().cleanest();
            diffusion_->apply(ddim(u, there), x_hat(i), {}, z);
            diffusion_->likelihood(there, z, logits);
        }
        if (auto ok = record_prediction(now_.window_first + i, logits); !ok) return tl::unexpected<Error>(ok.error());
        if (!self_cond_.empty()) std::copy(probability_.begin(), probability_.end(), self_cond(i));
    }
    return {};
}

bool GaussianSampler::is_stable() {
    int unrevealed = 0;
    double probability = 0;
    bool changed = false;
    for (int i = 0; i < window_length(); ++i) {
        const std::int32_t before = argmax_[i];
        argmax_[i] = -1;
        if (is_revealed_here(i)) continue;
        const Prediction& prediction = prediction_of(now_.window_first + i);
        argmax_[i] = prediction.top_id[0];
        changed = changed || argmax_[i] != before;
        probability += prediction.confidence;
        ++unrevealed;
    }
    stable_passes_ = changed ? 0 : stable_passes_ + 1;
    const int wanted = request_.options.stop_stable;
    return wanted > 0 && stable_passes_ >= wanted && probability >= stable_probability * unrevealed;
}

void GaussianSampler::draw_characters() {
    const SamplingOptions options = options_of_pass();
    for (int i = 0; i < window_length(); ++i) {
        if (is_revealed_here(i)) continue;
        const int position = now_.window_first + i;
        softmax(char_logits(i), -1, probability_);
        const int id = draw(char_logits(i), -1, options, word(position, Purpose::draw, 0));
        reveal(position, id, static_cast<float>(probability_[id]));
    }
}

void GaussianSampler::set_self_cond(int i, int id) {
    if (self_cond_.empty()) return;
    std::fill_n(self_cond(i), vocab_size_, 0.f);
    if (id >= 0) self_cond(i)[id] = 1;
}

std::size_t GaussianSampler::extra_state_size() const {
    return (network_.z().size() + self_cond_.size()) * sizeof(float) +
           (renoised_id_.size() + argmax_.size() + 1) * sizeof(std::int32_t) + row_is_noised_.size() +
           renoise_percent_.size() + 1;
}

void GaussianSampler::save_extra(std::uint8_t* bytes) const {
    const auto put = [&](const auto& values) {
        bytes =
            std::copy_n(reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof values[0], bytes);
    };
    put(network_.z());
    put(self_cond_);
    put(renoised_id_);
    put(argmax_);
    put(std::array{stable_passes_});
    put(row_is_noised_);
    put(renoise_percent_);
    *bytes = block_start_percent_;
}

void GaussianSampler::load_extra(const std::uint8_t* bytes) {
    const auto take = [&](auto& values) {
        const std::size_t count = values.size() * sizeof values[0];
        std::copy_n(bytes, count, reinterpret_cast<std::uint8_t*>(values.data()));
        bytes += count;
    };
    take(network_.z());
    take(self_cond_);
    take(renoised_id_);
    take(argmax_);
    std::array<std::int32_t, 1> stable{};
    take(stable);
    stable_passes_ = std::clamp(stable[0], 0, 1 << 30);
    take(row_is_noised_);
    take(renoise_percent_);
    for (std::int32_t& id : renoised_id_) id = std::clamp(id, -1, vocab_size_ - 1);
    // Times are percents, also in untrusted bytes.
    constexpr std::uint8_t all = 100;
    for (std::uint8_t& percent : renoise_percent_) percent = std::min(percent, all);
    block_start_percent_ = std::min(*bytes, all);
}

Result<std::unique_ptr<Sampler>> make_gaussian_sampler(Denoiser& denoiser, const ProcessConfig& process,
                                                       SamplingRequest request, const Proofreader* proofreader) {
    return any_sampler(GaussianSampler::create(denoiser, process, std::move(request), proofreader));
}

}  // namespace folio
