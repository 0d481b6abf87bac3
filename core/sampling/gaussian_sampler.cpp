#include "core/sampling/gaussian_sampler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/normals.h"

namespace folio {

namespace {

constexpr double churn_gamma = 0.15;

int most_passes(const GaussianConfig& process) {
    return process.schedule == GaussianSchedule::linear ? process.steps : std::numeric_limits<int>::max();
}

}  // namespace

GaussianSampler::GaussianSampler(Denoiser& denoiser, const ProcessConfig& process, std::unique_ptr<GaussianDiffusion> diffusion,
                                 SamplingRequest request)
    : BlockSampler(std::move(request), denoiser.config(), -1, most_passes(process.gaussian)), denoiser_(&denoiser),
      process_(process.gaussian), diffusion_(std::move(diffusion)), rows_(*diffusion_, process_, denoiser.config(), window_length()),
      noisy_(static_cast<std::size_t>(window_length())),
      seen_(denoiser.config().self_conditioning ? rows_.all().size() : 0), back_to_(request_.given.size()),
      was_(request_.given.size(), -1), eps_(static_cast<std::size_t>(vocab_size_)), x_hat_(eps_.size()),
      likelihood_(eps_.size()) {
    apply_due_edits();
}

Result<GaussianSampler> GaussianSampler::create(Denoiser& denoiser, const ProcessConfig& process, SamplingRequest request) {
    if (auto ok = check(request, ProcessKind::gaussian, denoiser.config().vocab_size, -1); !ok) return tl::unexpected<Error>(ok.error());
    auto diffusion = GaussianDiffusion::create(process.gaussian, denoiser.config().vocab_size);
    if (!diffusion) return tl::unexpected<Error>(diffusion.error());
    return GaussianSampler(denoiser, process, std::make_unique<GaussianDiffusion>(std::move(*diffusion)), std::move(request));
}

std::span<const double> GaussianSampler::eps(int place, Purpose purpose) {
    const std::uint64_t row = request_.sample * request_.given.size() + static_cast<std::uint64_t>(place);
    normals(eps_, request_.options.seed, row, static_cast<std::uint32_t>(now_.step), purpose);
    return eps_;
}

void GaussianSampler::noise() {
    const Level t = diffusion_->level(static_cast<double>(now_.step) / noising_steps_);
    std::vector<float> z(eps_.size());
    for (int place = 0; place < length(); ++place) {
        if (now_.flags[place] & place_given) continue;
        // One noise throughout, so that a character drowns and does not flicker.
        normals(eps_, request_.options.seed, request_.sample * request_.given.size() + static_cast<std::uint64_t>(place), 0, Purpose::noise_text);
        diffusion_->noised(t, request_.text[place], eps_, z);
        diffusion_->likelihood(t, z, likelihood_);
        look(place, likelihood_);
        open(place);
        now_.flags[place] = 0;
    }
}

void GaussianSampler::renoise(int from, int to, int percent) {
    const int first = now_.window_first;
    for (int place = from; place <= to; ++place) {
        if (now_.flags[place] & place_given) continue;
        const bool seen = now_.step < now_.block_end && place >= first && place < first + window_length();
        if (!is_open(now_.flags[place])) {
            was_[place] = now_.id[place];
            open(place);
        } else if (seen && noisy_[place - first]) {
            now_.flags[place] = place_reopened;
        } else {
            continue;  // it is to begin as noise
        }
        back_to_[place] = static_cast<std::uint8_t>(percent);
    }
}

int GaussianSampler::begins_at(const std::vector<std::uint8_t>& flags, Window window) const {
    int latest = 0;
    for (int place = window.first; place < window.first + window.length; ++place) {
        if (is_open(flags[place])) latest = std::max(latest, back_to_[place] > 0 ? int{back_to_[place]} : 100);
    }
    return latest;
}

int GaussianSampler::passes_again(const std::vector<std::uint8_t>& flags, Window window) const {
    return share(steps_, begins_at(flags, window), 100);
}

Result<void> GaussianSampler::reveal() {
    std::vector<std::uint8_t> before(more_bytes());
    save_more(before.data());
    auto ok = take_pass();
    if (!ok) restore_more(before.data());
    return ok;
}

Result<void> GaussianSampler::take_pass() {
    const int first = now_.window_first, window = window_length();
    if (pass() == 1) {
        std::fill(noisy_.begin(), noisy_.end(), std::uint8_t{0});
        std::fill(seen_.begin(), seen_.end(), 0.f);
        begun_at_ = static_cast<std::uint8_t>(begins_at(now_.flags, {first, window}));
    }
    const double begin = begun_at_ / 100.0;
    const auto after = [&](int done) { return diffusion_->level(begin * (passes() - done) / passes()); };
    const Level t = after(pass() - 1), s = after(pass());
    const SamplerKind kind = *request_.options.sampler;
    const Level u = kind == SamplerKind::churn ? diffusion_->churned(t, churn_gamma) : t;
    const auto known = [&](int i) { return !is_open(now_.flags[first + i]); };

    for (int i = 0; i < window; ++i) {
        const auto z = rows_.z(i);
        if (known(i)) {
            diffusion_->noised(diffusion_->given(u), now_.id[first + i], eps(first + i, Purpose::given), z);
            noisy_[i] = 0;
            if (pass() > 1) see(i, now_.id[first + i]);
            continue;
        }
        const Level back = diffusion_->level(std::max(t.t, back_to_[first + i] / 100.0));
        if (noisy_[i] && back.g > t.g) {
            diffusion_->apply(diffuse(t, back), {}, eps(first + i, Purpose::pure_noise), z);
            see(i, -1);  // what was made of it before would give it away
        } else if (!noisy_[i]) {
            if (was_[first + i] >= 0) diffusion_->noised(back, was_[first + i], eps(first + i, Purpose::pure_noise), z);
            else diffusion_->apply({0, 0, t.sigma}, {}, eps(first + i, Purpose::pure_noise), z);
            see(i, -1);
        }
        noisy_[i] = 1;
        if (u.g > t.g) diffusion_->apply(diffuse(t, u), {}, eps(first + i, Purpose::churn), z);
    }
    if (auto ok = rows_.look(*denoiser_, u, known, seen_); !ok) return ok;
    logits_.assign(rows_.answers().begin(), rows_.answers().end());

    const SamplingOptions& options = request_.options;
    const bool x0 = process_.prediction == GaussianPrediction::x0;
    const Move move = kind == SamplerKind::ddpm ? ddpm(u, s) : ddim(u, s);
    for (int i = 0; i < window; ++i) {
        if (known(i)) continue;
        const int place = first + i;
        const auto answer = rows_.logits(i);
        if (!diffusion_->estimate(u, rows_.z(i), answer, x_hat_, x0 ? options.temperature : 1, x0 ? options.top_k : 0)) {
            return not_finite();
        }
        // What an eps model makes of a place is where the step without noise leads, and what the row says there.
        std::span<const float> says = answer;
        if (!x0) {
            std::vector<float> z(rows_.z(i).begin(), rows_.z(i).end());
            const Level there = pass() < passes() ? s : diffusion_->level(1.0 / process_.steps);
            diffusion_->apply(ddim(u, there), x_hat_, {}, z);
            diffusion_->likelihood(there, z, likelihood_);
            says = likelihood_;
        }
        if (auto opinion = look(place, says); !opinion) return tl::unexpected<Error>(opinion.error());
        if (!seen_.empty()) std::copy(probability_.begin(), probability_.end(), seen(i));
        if (pass() == passes()) {
            const int id = draw(says, -1, options, word(place, Purpose::draw, 0));
            fix(place, id, static_cast<float>(probability_[id]));
        } else {
            diffusion_->apply(move, x_hat_, move.noise != 0 ? eps(place, Purpose::reverse) : std::span<const double>(), rows_.z(i));
        }
    }
    std::fill_n(back_to_.begin() + first, window, std::uint8_t{0});
    std::fill_n(was_.begin() + first, window, -1);
    return {};
}

void GaussianSampler::see(int i, int id) {
    if (seen_.empty()) return;
    std::fill_n(seen(i), vocab_size_, 0.f);
    if (id >= 0) seen(i)[id] = 1;
}

std::size_t GaussianSampler::more_bytes() const {
    return (rows_.all().size() + seen_.size()) * sizeof(float) + was_.size() * sizeof(std::int32_t) + noisy_.size() + back_to_.size() + 1;
}

void GaussianSampler::save_more(std::uint8_t* bytes) const {
    const auto put = [&](const auto& values) {
        bytes = std::copy_n(reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof values[0], bytes);
    };
    put(rows_.all());
    put(seen_);
    put(was_);
    put(noisy_);
    put(back_to_);
    *bytes = begun_at_;
}

void GaussianSampler::restore_more(const std::uint8_t* bytes) {
    const auto take = [&](auto& values) {
        const std::size_t count = values.size() * sizeof values[0];
        std::copy_n(bytes, count, reinterpret_cast<std::uint8_t*>(values.data()));
        bytes += count;
    };
    take(rows_.all());
    take(seen_);
    take(was_);
    take(noisy_);
    take(back_to_);
    // Times are percents, whoever made the bytes.
    constexpr std::uint8_t all = 100;
    for (std::uint8_t& percent : back_to_) percent = std::min(percent, all);
    begun_at_ = std::min(*bytes, all);
}

}  // namespace folio
