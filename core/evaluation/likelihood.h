#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/predict/autoregressive_predictor.h"
#include "core/predict/masked_predictor.h"

namespace folio {

/// A mean over windows, in nats per character, with its standard error.
struct Estimate {
    double nats_per_char = 0;
    double standard_error = 0;  // NaN for a single window, which tells nothing of others
};

Estimate estimate(std::span<const double> windows);

/// The windows of a text for a model of L = seq_len positions: window i is text[L i .. L i + L], L + 1 characters of
/// which the first is given and L are scored, as nanoGPT's targets have it; neighbours share one.
class Windows {
public:
    /// All floor((n - 1) / L) windows, or `count` of them evenly spaced (0: all; more than there are: all). Fails where
    /// the text has not a single one. The text must outlive the windows.
    static Result<Windows> of(std::span<const int> text, int seq_len, int count = 0);

    int size() const { return static_cast<int>(numbers_.size()); }
    int scored() const { return seq_len_; }
    /// The i of window `index` among all windows of the text: what randomness is addressed by.
    int number(int index) const { return numbers_[index]; }
    /// Its seq_len + 1 ids.
    std::span<const int> ids(int index) const {
        return text_.subspan(static_cast<std::size_t>(numbers_[index]) * seq_len_, seq_len_ + 1);
    }

private:
    std::span<const int> text_;
    int seq_len_ = 0;
    std::vector<int> numbers_;
};

/// Told of passes done and to do, in sequences.
using EvaluationProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct EvaluationOptions {
    int draws = 16;  // per window
    int batch = 16;  // sequences per pass
    std::uint64_t seed = 1;
    EvaluationProgress progress;  // may be empty
};

/// Loss and accuracy at the mask shares t in (i / 20, (i + 1) / 20].
struct NoiseBin {
    double loss = 0;      // nats per masked character
    double accuracy = 0;  // share of masked characters that are the most likely
    int draws = 0;        // 0: nothing is known of this level
};

/// Terms of a Gaussian bound, nats per character; their sum is the bound.
struct BoundParts {
    double prior = 0, reconstruction = 0, diffusion = 0;
};

/// Likelihood of windows under a model.
struct Evaluation {
    std::vector<double> windows;      // [Windows::size()] nats per character
    BoundParts parts;                 // of Gaussian models
    std::array<NoiseBin, 20> levels;  // without draws where the process has no noise
};

/// Likelihood of the windows as the model's process scores them.
Result<Evaluation> evaluate(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                            const EvaluationOptions& options);

// evaluate_masked, evaluate_gaussian ...
#define FOLIO_EVALUATION(kind, name)                                                                             \
    Result<Evaluation> evaluate_##kind(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows, \
                                       const EvaluationOptions& options);
FOLIO_FOR_EACH_PROCESS(FOLIO_EVALUATION)
#undef FOLIO_EVALUATION

/// The NELBO of a masked model by its k-stratified form (Uria et al. 2014; Shi et al. 2024): per draw, k uniform over
/// 1 .. L, a uniform subset of k scored positions hidden, the mean cross-entropy of the hidden ones; the mean of that
/// is the bound per character. The draws of a window are spread evenly over k, those of all windows too; the same seed
/// hides the same positions for every model, so that differences between models are paired. Fails where the model's
/// logits are not finite.
Result<Evaluation> masked_bound(const MaskedPredictor& model, const Windows& windows, const EvaluationOptions& options);

/// -log p of all ids but the first, nats per character, by an autoregressive model: one pass. At least two ids.
Result<double> exact_nats(const AutoregressivePredictor& model, std::span<const int> ids);
/// The same of every window.
Result<Evaluation> exact_likelihood(const AutoregressivePredictor& model, const Windows& windows,
                                    const EvaluationOptions& options);

/// A rule that says which position is revealed next, from the model's probabilities alone.
enum class RevealOrder { left_to_right, confidence, margin };

inline constexpr std::array<std::string_view, 3> reveal_order_names = {"left-to-right", "confidence", "margin"};

/// The exact negative log-likelihood per window, in nats per character, of the model that reveals one position a pass
/// by a deterministic rule: by the chain rule, as the rule sees revealed characters only. L passes per window. Ties,
/// and scores less than 2^-16 apart count as such, go to the lowest position.
Result<std::vector<double>> ordered_likelihood(const MaskedPredictor& model, const Windows& windows, RevealOrder order,
                                               const EvaluationOptions& options);

}  // namespace folio
