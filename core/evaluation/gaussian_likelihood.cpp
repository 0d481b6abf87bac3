#include <algorithm>

#include "core/base/normals.h"
#include "core/evaluation/scoring.h"
#include "core/predict/gaussian_predictor.h"
#include "core/process/gaussian_bound.h"

namespace folio {

namespace {

/// Terms of the bound of one window at a time, whose first character is conditioned.
class GaussianScorer {
public:
    GaussianScorer(Denoiser& denoiser, const GaussianDiffusion& diffusion, bool matched_filter, int length,
                   std::uint64_t seed)
        : diffusion_(diffusion),
          network_(denoiser, diffusion, matched_filter, length),
          length_(length),
          seed_(seed),
          eps_(static_cast<std::size_t>(diffusion.vocab_size())),
          x_hat_(eps_.size()) {}

    /// Nats per character at the cleanest level.
    Result<double> reconstruction(std::span<const int> ids, int window_number) {
        const NoiseLevel t = diffusion_.schedule().cleanest();
        constexpr std::uint32_t no_draw = 0xFFFFFFFEu;
        if (auto ok = predict(t, ids, window_number, no_draw); !ok) return tl::unexpected<Error>(ok.error());
        double nats = 0;
        for (int position = 1; position < length_; ++position) {
            const auto z = network_.z(position);
            if (!diffusion_.estimate(t, z, network_.output(position), x_hat_)) return not_finite();
            nats += reconstruction_nats(diffusion_, t, z, network_.output(position), ids[position]) / (length_ - 1);
        }
        return nats;
    }

    /// Squared error per character at level t, the mean over the positions, which it counts in `bin`.
    Result<void> add_draw(const NoiseLevel& t, std::span<const int> ids, int window_number, int draw, double weight,
                          double& nats, NoiseBin& bin) {
        if (auto ok = predict(t, ids, window_number, static_cast<std::uint32_t>(draw)); !ok) return ok;
        const int scored = length_ - 1;
        for (int position = 1; position < length_; ++position) {
            if (!diffusion_.estimate(t, network_.z(position), network_.output(position), x_hat_)) return not_finite();
            const double error = squared_error(x_hat_, ids[position]);
            const auto best = std::max_element(x_hat_.begin(), x_hat_.end()) - x_hat_.begin();
            nats += weight * error / scored;
            bin.loss += error / scored;
            bin.accuracy += static_cast<double>(best == ids[position]) / scored;
        }
        ++bin.draws;
        return {};
    }

private:
    /// Noises the window at t, the same way for every model, and runs the network on it.
    Result<void> predict(const NoiseLevel& t, std::span<const int> ids, int window_number, std::uint32_t draw) {
        for (int position = 0; position < length_; ++position) {
            normals(eps_, seed_, static_cast<std::uint64_t>(window_number) * length_ + position, draw,
                    Purpose::evaluate);
            diffusion_.noised(position == 0 ? diffusion_.schedule().conditioned(t) : t, ids[position], eps_,
                              network_.z(position));
        }
        return network_.forward_self_conditioned(t, [](int position) { return position == 0; });
    }

    const GaussianDiffusion& diffusion_;
    GaussianPredictor network_;
    int length_;
    std::uint64_t seed_;
    std::vector<double> eps_, x_hat_;  // [V]
};

}  // namespace

/// The NELBO of a Gaussian model (Kingma et al. 2021, arXiv 2107.00630): KL at the noisiest level, the cross-entropy at
/// the cleanest, and between them the squared error of E[x | z] weighed by the fall of SNR; in continuous time, or over
/// the steps of a linear schedule, where ddpm with the posterior's variance is what is scored. `draws` times per
/// window, spread evenly, the same for every model; the first character of a window is conditioned. A model with
/// self-conditioning takes two passes per draw.
Result<Evaluation> evaluate_gaussian(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                                     const EvaluationOptions& options) {
    const auto diffusion = GaussianDiffusion::create(process.gaussian, denoiser.config().vocab_size);
    if (!diffusion) return tl::unexpected<Error>(diffusion.error());
    GaussianScorer scorer(denoiser, *diffusion, process.gaussian.matched_filter, windows.scored() + 1, options.seed);
    const double offset = uniform(philox(options.seed, 0, 0xFFFFFFFFu, Purpose::evaluate).word[0]);
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * (options.draws + 1);
    std::int64_t done = 0;
    Evaluation result;
    result.parts.prior = prior_nats(*diffusion);
    for (int window = 0; window < windows.size(); ++window) {
        const auto ids = windows.ids(window);
        const int number = windows.number(window);
        const auto reconstruction = scorer.reconstruction(ids, number);
        if (!reconstruction) return tl::unexpected<Error>(reconstruction.error());
        ++done;
        double error = 0;
        for (int draw = 0; draw < options.draws; ++draw) {
            if (options.progress) options.progress(done++, total);
            const auto [t, weight] = bound_draw(diffusion->schedule(), stratum(offset, number, draw, options.draws));
            NoiseBin& bin = result.levels[std::min(static_cast<int>(20 * t.t), 19)];
            if (auto ok = scorer.add_draw(t, ids, number, draw, weight / options.draws, error, bin); !ok)
                return tl::unexpected<Error>(ok.error());
        }
        result.windows.push_back(result.parts.prior + *reconstruction + error);
        result.parts.reconstruction += *reconstruction / windows.size();
        result.parts.diffusion += error / windows.size();
    }
    finish_levels(result);
    if (options.progress) options.progress(total, total);
    return result;
}

}  // namespace folio
