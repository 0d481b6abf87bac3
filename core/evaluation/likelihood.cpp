#include "core/evaluation/likelihood.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/base/elementary.h"
#include "core/base/normals.h"
#include "core/predict/gaussian_predictor.h"
#include "core/process/gaussian_bound.h"
#include "core/process/masked.h"
#include "core/process/prediction.h"

namespace folio {

namespace {

struct Answer {
    Prediction prediction;
    double nats = 0;  // -log p(target)
};

/// Prediction of a row of logits and the loss of `target`, its position's character; `probability` is scratch.
Result<Answer> answer_of(std::span<const float> logits, int excluded, int target, std::span<double> probability) {
    if (!softmax(logits, excluded, probability)) {
        return not_finite();
    }
    // By the distance from the likeliest character: the probability of a very unlikely one may be 0 in f64.
    const Prediction seen = summarize(probability, excluded);
    const double distance = static_cast<double>(logits[seen.top_id[0]]) - logits[target];
    return Answer{seen, distance - elementary::log(seen.confidence)};
}

/// Quantile in [0, 1) of a draw: those of a window evenly spread, the windows shifted against one another by multiples
/// of the golden section.
double stratum(double offset, int window_number, int draw, int draws) {
    const double turn = offset + (draw + std::fmod(window_number * 0.6180339887498949, 1.0)) / draws;
    return turn - std::floor(turn);
}

/// Means out of sums.
void finish_levels(Evaluation& evaluation) {
    for (NoiseBin& level : evaluation.levels) {
        if (level.draws == 0) continue;
        level.loss /= level.draws;
        level.accuracy /= level.draws;
    }
}

/// A batch of sequences on its way through a masked model.
struct Batch {
    Batch(const MaskedPredictor& model, int size, int length)
        : model(model),
          length(length),
          ids(static_cast<std::size_t>(size) * length),
          logits(static_cast<std::size_t>(size) * length * model.config.vocab_size),
          probability(model.config.vocab_size) {}

    std::span<int> sequence(int b) { return std::span(ids).subspan(static_cast<std::size_t>(b) * length, length); }
    /// Prediction and loss of the last pass at a masked position.
    Result<Answer> answer(int b, int position, int target) {
        const std::size_t row = static_cast<std::size_t>(b) * length + position;
        return answer_of(std::span<const float>(logits).subspan(row * model.config.vocab_size, model.config.vocab_size),
                         model.mask_id, target, probability);
    }
    /// The first `count` sequences; `hidden[b]` of `hideable` positions are masked.
    Result<void> predict(int count, std::span<const int> hidden, int hideable) {
        std::vector<int> times;
        if (model.config.time_rows > 0) {
            for (int b = 0; b < count; ++b) {
                times.push_back(time_row(static_cast<double>(hidden[b]) / hideable, model.config.time_rows));
            }
        }
        const std::size_t rows = static_cast<std::size_t>(count) * length;
        return model.predict(std::span(ids).first(rows), times, count, length,
                             std::span(logits).first(rows * model.config.vocab_size));
    }

    const MaskedPredictor& model;
    int length;
    std::vector<int> ids;
    std::vector<float> logits;
    std::vector<double> probability;
};

}  // namespace

Estimate estimate(std::span<const double> windows) {
    const double n = static_cast<double>(windows.size());
    double mean = 0, square = 0;
    for (const double x : windows) mean += x / n;
    for (const double x : windows) square += (x - mean) * (x - mean);
    return {mean, n > 1 ? std::sqrt(square / (n - 1) / n) : std::numeric_limits<double>::quiet_NaN()};
}

Result<Windows> Windows::of(std::span<const int> text, int seq_len, int count) {
    const int all = text.empty() ? 0 : static_cast<int>((text.size() - 1) / seq_len);
    if (all == 0) {
        return fail("The text is too short to be scored: it needs " + std::to_string(seq_len + 1) +
                    " characters, and has " + std::to_string(text.size()) + ".");
    }
    Windows windows;
    windows.text_ = text;
    windows.seq_len_ = seq_len;
    const int wanted = count > 0 ? std::min(count, all) : all;
    for (std::int64_t i = 0; i < wanted; ++i) windows.numbers_.push_back(static_cast<int>(i * all / wanted));
    return windows;
}

Result<Evaluation> evaluate(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                            const EvaluationOptions& options) {
    if (process.kind == ProcessKind::gaussian) return gaussian_bound(denoiser, process, windows, options);
    if (process.kind == ProcessKind::autoregressive)
        return exact_likelihood(autoregressive_predictor(denoiser), windows, options);
    return masked_bound(masked_predictor(denoiser, process), windows, options);
}

Result<Evaluation> masked_bound(const MaskedPredictor& model, const Windows& windows,
                                const EvaluationOptions& options) {
    const int positions = windows.scored(), draws = options.draws;
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * draws;
    // A step that no draw has.
    const double offset = uniform(philox(options.seed, 0, 0xFFFFFFFFu, Purpose::evaluate).word[0]);
    Batch batch(model, options.batch, positions + 1);
    std::vector<int> hidden(options.batch);
    Evaluation bound;
    bound.windows.assign(windows.size(), 0);
    for (std::int64_t begin = 0; begin < total; begin += options.batch) {
        if (options.progress) options.progress(begin, total);
        const int count = static_cast<int>(std::min<std::int64_t>(options.batch, total - begin));
        for (int b = 0; b < count; ++b) {
            const int window = static_cast<int>((begin + b) / draws), draw = static_cast<int>((begin + b) % draws);
            const int number = windows.number(window);
            hidden[b] = 1 + std::min(positions - 1, static_cast<int>(positions * stratum(offset, number, draw, draws)));
            const auto clean = windows.ids(window);
            const auto sequence = batch.sequence(b);
            std::copy(clean.begin(), clean.end(), sequence.begin());
            mask_positions(sequence.subspan(1), hidden[b], model.mask_id, options.seed,
                           static_cast<std::uint64_t>(number), static_cast<std::uint32_t>(draw), Purpose::evaluate);
        }
        if (auto ok = batch.predict(count, hidden, positions); !ok) return tl::unexpected<Error>(ok.error());
        for (int b = 0; b < count; ++b) {
            const int window = static_cast<int>((begin + b) / draws);
            const auto clean = windows.ids(window);
            const auto sequence = batch.sequence(b);
            double nats = 0;
            int hits = 0;
            for (int position = 1; position <= positions; ++position) {
                if (sequence[position] != model.mask_id) continue;
                const auto answer = batch.answer(b, position, clean[position]);
                if (!answer) return tl::unexpected<Error>(answer.error());
                nats += answer->nats;
                hits += answer->prediction.top_id[0] == clean[position];
            }
            bound.windows[window] += nats / hidden[b] / draws;
            NoiseBin& level = bound.levels[(static_cast<std::int64_t>(hidden[b]) * 20 + positions - 1) / positions - 1];
            level.loss += nats / hidden[b];
            level.accuracy += static_cast<double>(hits) / hidden[b];
            ++level.draws;
        }
    }
    finish_levels(bound);
    if (options.progress) options.progress(total, total);
    return bound;
}

Result<Evaluation> gaussian_bound(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                                  const EvaluationOptions& options) {
    const ModelConfig& config = denoiser.config();
    const int positions = windows.scored(), length = positions + 1, V = config.vocab_size;
    auto made = GaussianDiffusion::create(process.gaussian, V);
    if (!made) return tl::unexpected<Error>(made.error());
    const GaussianDiffusion& diffusion = *made;
    GaussianPredictor rows(denoiser, diffusion, process.gaussian.matched_filter, length);
    std::vector<double> eps(V), x_hat(V);
    // Noises all positions of a window at t but the first, which is given, and answers.
    const auto answer = [&](const NoiseLevel& t, std::span<const int> ids, int number,
                            std::uint32_t draw) -> Result<void> {
        for (int position = 0; position < length; ++position) {
            normals(eps, options.seed, static_cast<std::uint64_t>(number) * length + position, draw, Purpose::evaluate);
            diffusion.noised(position == 0 ? diffusion.schedule().conditioned(t) : t, ids[position], eps,
                             rows.z(position));
        }
        return rows.forward_self_conditioned(t, [](int position) { return position == 0; });
    };

    const double offset = uniform(philox(options.seed, 0, 0xFFFFFFFFu, Purpose::evaluate).word[0]);
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * (options.draws + 1);
    Evaluation result;
    result.windows.assign(windows.size(), 0);
    result.parts.prior = prior_nats(diffusion);
    for (int window = 0; window < windows.size(); ++window) {
        const auto ids = windows.ids(window);
        const int number = windows.number(window);
        const NoiseLevel cleanest = diffusion.schedule().cleanest();
        if (auto ok = answer(cleanest, ids, number, 0xFFFFFFFEu); !ok) return tl::unexpected<Error>(ok.error());
        double reconstruction = 0, error = 0;
        for (int position = 1; position < length; ++position) {
            if (!diffusion.estimate(cleanest, rows.z(position), rows.output(position), x_hat)) return not_finite();
            reconstruction +=
                reconstruction_nats(diffusion, cleanest, rows.z(position), rows.output(position), ids[position]) /
                positions;
        }
        for (int draw = 0; draw < options.draws; ++draw) {
            if (options.progress)
                options.progress(static_cast<std::int64_t>(window) * (options.draws + 1) + draw + 1, total);
            const auto [t, counts] = bound_draw(diffusion.schedule(), stratum(offset, number, draw, options.draws));
            if (auto ok = answer(t, ids, number, static_cast<std::uint32_t>(draw)); !ok)
                return tl::unexpected<Error>(ok.error());
            NoiseBin& level = result.levels[std::min(static_cast<int>(20 * t.t), 19)];
            for (int position = 1; position < length; ++position) {
                if (!diffusion.estimate(t, rows.z(position), rows.output(position), x_hat)) return not_finite();
                const double squares = squared_error(x_hat, ids[position]);
                error += counts * squares / (static_cast<double>(options.draws) * positions);
                level.loss += squares / positions;
                level.accuracy +=
                    static_cast<double>(std::max_element(x_hat.begin(), x_hat.end()) - x_hat.begin() == ids[position]) /
                    positions;
            }
            ++level.draws;
        }
        result.windows[window] = result.parts.prior + reconstruction + error;
        result.parts.reconstruction += reconstruction / windows.size();
        result.parts.diffusion += error / windows.size();
    }
    finish_levels(result);
    if (options.progress) options.progress(total, total);
    return result;
}

Result<double> exact_nats(const AutoregressivePredictor& model, std::span<const int> ids) {
    const std::size_t positions = ids.size() - 1, vocab_size = static_cast<std::size_t>(model.config.vocab_size);
    std::vector<float> logits(positions * vocab_size);
    std::vector<double> probability(vocab_size);
    if (auto ok = model.decode(ids.first(positions), 0, logits); !ok) return tl::unexpected<Error>(ok.error());
    double nats = 0;
    for (std::size_t position = 0; position < positions; ++position) {
        const auto answer = answer_of(std::span<const float>(logits).subspan(position * vocab_size, vocab_size), -1,
                                      ids[position + 1], probability);
        if (!answer) return tl::unexpected<Error>(answer.error());
        nats += answer->nats / static_cast<double>(positions);
    }
    return nats;
}

Result<Evaluation> exact_likelihood(const AutoregressivePredictor& model, const Windows& windows,
                                    const EvaluationOptions& options) {
    Evaluation result;
    for (int window = 0; window < windows.size(); ++window) {
        if (options.progress) options.progress(window, windows.size());
        const auto nats = exact_nats(model, windows.ids(window));
        if (!nats) return tl::unexpected<Error>(nats.error());
        result.windows.push_back(*nats);
    }
    if (options.progress) options.progress(windows.size(), windows.size());
    return result;
}

Result<std::vector<double>> ordered_likelihood(const MaskedPredictor& model, const Windows& windows, RevealOrder order,
                                               const EvaluationOptions& options) {
    const int positions = windows.scored();
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * positions;
    Batch batch(model, options.batch, positions + 1);
    std::vector<int> hidden(options.batch);
    std::vector<double> result(windows.size(), 0);
    std::int64_t done = 0;
    for (int begin = 0; begin < windows.size(); begin += options.batch) {
        const int count = std::min(options.batch, windows.size() - begin);
        for (int b = 0; b < count; ++b) {
            const auto sequence = batch.sequence(b);
            std::fill(sequence.begin(), sequence.end(), model.mask_id);
            sequence[0] = windows.ids(begin + b)[0];
        }
        for (int left = positions; left > 0; --left) {
            if (options.progress) options.progress(done, total);
            std::fill(hidden.begin(), hidden.end(), left);
            if (auto ok = batch.predict(count, hidden, positions); !ok) return tl::unexpected<Error>(ok.error());
            for (int b = 0; b < count; ++b) {
                const auto clean = windows.ids(begin + b);
                const auto sequence = batch.sequence(b);
                int next = -1;
                double highest = 0, nats = 0;
                for (int position = 1; position <= positions; ++position) {
                    if (sequence[position] != model.mask_id) continue;
                    const auto answer = batch.answer(b, position, clean[position]);
                    if (!answer) return tl::unexpected<Error>(answer.error());
                    const Prediction& seen = answer->prediction;
                    const double surety =
                        round_for_ties(order == RevealOrder::confidence ? seen.confidence : seen.margin);
                    if (next >= 0 && surety <= highest) continue;
                    next = position;
                    highest = surety;
                    nats = answer->nats;
                    if (order == RevealOrder::left_to_right) break;
                }
                result[begin + b] += nats / positions;
                sequence[next] = clean[next];
            }
            done += count;
        }
    }
    if (options.progress) options.progress(total, total);
    return result;
}

}  // namespace folio
