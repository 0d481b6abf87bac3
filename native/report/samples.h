#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/evaluation/likelihood.h"
#include "core/evaluation/statistics.h"
#include "core/sampling/sampler.h"
#include "core/weights/model_file.h"
#include "native/host/progress.h"
#include "native/host/text_data.h"

namespace folio {

/// Results of sampling at one setting; passes and time are means over samples.
struct Drawn {
    SamplingOptions options;
    TextStatistics statistics;
    std::optional<Estimate> judge;  // where a model judges too: -log p of all characters but a sample's first
    double passes = 0, passes_saved = 0, ms = 0;
    bool proofread = false;
};

/// Samples of a model, measured beside real text of the same length.
class SampleMeasure {
public:
    /// An autoregressive model that judges samples beside the 5-gram of the training text, and knows all characters of
    /// the model.
    struct Judge {
        AutoregressiveModel model;
        const Vocabulary* vocabulary;
    };

    /// Model, denoiser, the judge's and the proofreader, which may be null, must outlive it.
    SampleMeasure(Denoiser& denoiser, const ModelFile& model, const TextData& text, int count,
                  std::optional<Judge> judge, const Proofreader* proofreader);

    /// Ends the command with a sentence where such samples cannot be drawn.
    static void check(Denoiser& denoiser, const ModelFile& model, const SamplingOptions& options,
                      const Proofreader* proofreader);
    /// Samples of seeds 0, 1, 2, ...; `progress` is told of those done.
    Drawn draw(SamplingOptions options, const std::function<void(int done)>& progress) const;
    /// Tries every sampler of the model at several numbers of passes and temperatures, and draws the frontier
    /// (frontier.h) into a file, anew after each. The report has a row for each.
    nlohmann::ordered_json plot(const std::string& file, const SamplingOptions& options, Progress& progress) const;
    /// The same picture with nothing in it: whether the file can be written shows before the long work.
    void begin_plot(const std::string& file) const;

    int count() const { return count_; }
    nlohmann::ordered_json real() const;
    void print(const Drawn& drawn) const;

private:
    /// The request for a sample that begins as a text with this character does.
    static SamplingRequest request(const ModelFile& model, SamplingOptions options, std::uint64_t seed, int first_id);
    int length() const { return model_.config.seq_len; }
    std::optional<Estimate> judged(std::span<const std::u32string> texts) const;

    Denoiser& denoiser_;
    const ModelFile& model_;
    int count_;
    TrainingText training_;
    std::vector<int> first_ids_;  // of the windows of real text
    TextStatistics real_;
    std::optional<Judge> judge_;
    const Proofreader* proofreader_;
    std::optional<Estimate> real_judged_;
};

/// The setting and what came of it.
nlohmann::ordered_json to_json(const Drawn& drawn);

}  // namespace folio
