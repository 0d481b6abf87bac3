#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "core/base/philox.h"
#include "core/predict/autoregressive_predictor.h"
#include "core/predict/masked_predictor.h"
#include "core/sampling/sampler.h"

namespace folio::test {

/// The frame after one more step, which must not fail.
inline Frame next_frame(Sampler& sampler) {
    if (const auto stepped = sampler.step(); !stepped) throw std::runtime_error(stepped.error().sentence);
    return sampler.frame();
}

/// A distribution over all texts of `length` characters out of `characters`, and the masked model that knows its
/// conditionals exactly: p(x_i | the positions that are not hidden). [MASK] is the id behind the characters.
struct TableModel {
    int characters, length;
    std::vector<double> joint;  // [characters^length], the last position running fastest

    TableModel(int characters, int length, std::uint64_t seed) : characters(characters), length(length) {
        std::size_t texts = 1;
        for (int i = 0; i < length; ++i) texts *= characters;
        double total = 0;
        for (std::size_t text = 0; text < texts; ++text) {
            joint.push_back(0.05 + uniform(philox(seed, text, 0, Purpose::initialise).word[0]));
            total += joint.back();
        }
        for (double& p : joint) p /= total;
    }

    int mask_id() const { return characters; }

    std::vector<int> text(std::size_t index) const {
        std::vector<int> ids(length);
        for (int position = length; position-- > 0; index /= characters)
            ids[position] = static_cast<int>(index % characters);
        return ids;
    }

    std::size_t index(const std::vector<int>& ids) const {
        std::size_t index = 0;
        for (const int id : ids) index = index * characters + id;
        return index;
    }

    /// The probability of each character at `position`, given those of `ids` that are not hidden.
    std::vector<double> conditional(std::span<const int> ids, int position) const {
        std::vector<double> p(characters, 0);
        double total = 0;
        for (std::size_t i = 0; i < joint.size(); ++i) {
            const std::vector<int> candidate = text(i);
            bool agrees = true;
            for (int j = 0; j < length; ++j) agrees = agrees && (ids[j] == mask_id() || ids[j] == candidate[j]);
            if (!agrees) continue;
            p[candidate[position]] += joint[i];
            total += joint[i];
        }
        for (double& x : p) x /= total;
        return p;
    }

    MaskedPredictor model() const {
        // Logits of all texts with any positions hidden, so that tests may ask a million times.
        const int symbols = characters + 1;
        std::size_t texts = 1;
        for (int i = 0; i < length; ++i) texts *= symbols;
        std::vector<float> table;
        for (std::size_t text = 0; text < texts; ++text) {
            std::vector<int> ids(length);
            std::size_t rest = text;
            for (int position = length; position-- > 0; rest /= symbols)
                ids[position] = static_cast<int>(rest % symbols);
            for (int position = 0; position < length; ++position) {
                for (const double p : conditional(ids, position)) table.push_back(static_cast<float>(std::log(p)));
                table.push_back(50);  // [MASK] itself must not count, however likely
            }
        }
        MaskedPredictor model;
        model.config.vocab_size = symbols;
        model.config.seq_len = length;
        model.mask_id = mask_id();
        model.predict = [table, symbols, length = length](std::span<const int> ids, std::span<const int>, int batch,
                                                          int sequence, std::span<float> logits) -> Result<void> {
            if (sequence != length) return fail("A table knows texts of one length only.");
            for (int b = 0; b < batch; ++b) {
                std::size_t text = 0;
                for (int i = 0; i < length; ++i) text = text * symbols + ids[b * length + i];
                const std::size_t size = static_cast<std::size_t>(length) * symbols;
                std::copy_n(table.begin() + text * size, size, logits.begin() + b * size);
            }
            return {};
        };
        return model;
    }
};

/// The autoregressive model of the same distribution, for texts that begin after character 0; texts longer than the
/// table end in one that it knows.
inline AutoregressivePredictor left_to_right(const TableModel& table) {
    AutoregressivePredictor model;
    model.config.vocab_size = table.characters;
    model.config.seq_len = table.length + 1;
    model.decode = [table, last = std::vector<int>()](std::span<const int> ids, int known,
                                                      std::span<float> logits) mutable -> Result<void> {
        if (known < 0 || known >= static_cast<int>(ids.size()) || known > static_cast<int>(last.size()) ||
            !std::equal(ids.begin(), ids.begin() + known, last.begin())) {
            return fail("It was not told what it is said to know.");
        }
        last.assign(ids.begin(), ids.end());
        const std::size_t rows = logits.size() / table.characters;
        for (std::size_t row = 0; row < rows; ++row) {
            const std::size_t seen = ids.size() - rows + row + 1;
            std::vector<int> text(table.length, table.mask_id());
            std::copy(ids.begin() + 1, ids.begin() + seen, text.begin());
            const auto p = table.conditional(text, static_cast<int>(seen) - 1);
            for (int id = 0; id < table.characters; ++id)
                logits[row * table.characters + id] = static_cast<float>(std::log(p[id]));
        }
        return {};
    };
    return model;
}

/// A model whose logits are hashes of position and neighbourhood: any two texts that differ get different logits, and
/// any length will do.
inline MaskedPredictor hash_model(int characters, int seq_len, int time_rows = 0) {
    MaskedPredictor model;
    model.config.vocab_size = characters + 1;
    model.config.seq_len = seq_len;
    model.config.time_rows = time_rows;
    model.mask_id = characters;
    model.predict = [=](std::span<const int> ids, std::span<const int>, int batch, int length,
                        std::span<float> logits) -> Result<void> {
        for (int b = 0; b < batch; ++b) {
            std::uint64_t text = 1469598103934665603u;
            for (int i = 0; i < length; ++i)
                text = (text ^ static_cast<std::uint64_t>(ids[b * length + i] + 1)) * 1099511628211u;
            for (int i = 0; i < length; ++i) {
                for (int id = 0; id <= characters; ++id) {
                    const auto word =
                        philox(text, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(id), 99u).word[0];
                    logits[static_cast<std::size_t>(b * length + i) * (characters + 1) + id] =
                        static_cast<float>(6 * uniform(word));
                }
            }
        }
        return {};
    };
    return model;
}

/// A sample of `length` positions, none of which is given.
inline SamplingRequest request_for(int length, SamplerKind kind, int steps) {
    SamplingRequest request;
    request.conditioned.assign(static_cast<std::size_t>(length), -1);
    request.options.sampler = kind;
    request.options.steps = steps;
    return request;
}

/// Pearson's statistic of counts against probabilities; its mean is the degrees of freedom, its variance twice that.
inline double chi_square(const std::vector<int>& counts, const std::vector<double>& probability) {
    double total = 0, sum = 0;
    for (const int count : counts) total += count;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const double expected = total * probability[i];
        if (expected > 0) sum += (counts[i] - expected) * (counts[i] - expected) / expected;
        if (expected == 0 && counts[i] > 0) return std::numeric_limits<double>::infinity();
    }
    return sum;
}

/// Beyond 5 standard deviations of chi-square: a chance of far less than one in a thousand, and the seeds are fixed.
inline bool plausible(double statistic, double freedom) { return statistic < freedom + 5 * std::sqrt(2 * freedom); }

}  // namespace folio::test
