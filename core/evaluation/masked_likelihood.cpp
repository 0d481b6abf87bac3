#include <algorithm>
#include <cmath>

#include "core/evaluation/scoring.h"
#include "core/process/masked.h"

namespace folio {

namespace {

/// A batch of sequences on its way through a masked model.
struct SequenceBatch {
    SequenceBatch(const MaskedPredictor& model, int size, int length)
        : model(model),
          length(length),
          ids(static_cast<std::size_t>(size) * length),
          logits(static_cast<std::size_t>(size) * length * model.config.vocab_size),
          probability(model.config.vocab_size) {}

    std::span<int> sequence(int b) { return std::span(ids).subspan(static_cast<std::size_t>(b) * length, length); }
    /// Prediction and loss of the last pass at a masked position.
    Result<Scored> score_position(int b, int position, int target) {
        const std::size_t row = static_cast<std::size_t>(b) * length + position;
        return score(std::span<const float>(logits).subspan(row * model.config.vocab_size, model.config.vocab_size),
                     model.mask_id, target, probability);
    }
    /// The first `count` sequences; `n_masked[b]` of `maskable` positions are masked.
    Result<void> predict(int count, std::span<const int> n_masked, int maskable) {
        std::vector<int> times;
        if (model.config.time_rows > 0) {
            for (int b = 0; b < count; ++b) {
                times.push_back(time_row(static_cast<double>(n_masked[b]) / maskable, model.config.time_rows));
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

Result<Evaluation> evaluate_masked(Denoiser& denoiser, const ProcessConfig& process, const Windows& windows,
                                   const EvaluationOptions& options) {
    return masked_bound(masked_predictor(denoiser, process), windows, options);
}

Result<Evaluation> masked_bound(const MaskedPredictor& model, const Windows& windows,
                                const EvaluationOptions& options) {
    const int positions = windows.scored(), draws = options.draws;
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * draws;
    // A step that no draw has.
    const double offset = uniform(philox(options.seed, 0, 0xFFFFFFFFu, Purpose::evaluate).word[0]);
    SequenceBatch batch(model, options.batch, positions + 1);
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
                const auto scored = batch.score_position(b, position, clean[position]);
                if (!scored) return tl::unexpected<Error>(scored.error());
                nats += scored->nats;
                hits += scored->prediction.top_id[0] == clean[position];
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

Result<std::vector<double>> ordered_likelihood(const MaskedPredictor& model, const Windows& windows, RevealOrder order,
                                               const EvaluationOptions& options) {
    const int positions = windows.scored();
    const std::int64_t total = static_cast<std::int64_t>(windows.size()) * positions;
    SequenceBatch batch(model, options.batch, positions + 1);
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
                    const auto scored = batch.score_position(b, position, clean[position]);
                    if (!scored) return tl::unexpected<Error>(scored.error());
                    const Prediction& prediction = scored->prediction;
                    const double score =
                        round_for_ties(order == RevealOrder::confidence ? prediction.confidence : prediction.margin);
                    if (next >= 0 && score <= highest) continue;
                    next = position;
                    highest = score;
                    nats = scored->nats;
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
