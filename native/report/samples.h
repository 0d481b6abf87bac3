#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/evaluation/likelihood.h"
#include "core/evaluation/statistics.h"
#include "core/weights/model_file.h"
#include "native/host/progress.h"
#include "native/host/text_data.h"
#include "native/report/sample_results.h"

namespace folio {

/// Samples of a model, measured beside real text of the same length.
class SampleMeasure {
public:
    /// An autoregressive model that judges samples beside the 5-gram of the training text, and knows all characters of
    /// the model.
    struct Judge {
        AutoregressivePredictor model;
        const Vocabulary* vocabulary;
    };

    /// Model, denoiser, the judge's and the proofreader, which may be null, must outlive it.
    SampleMeasure(Denoiser& denoiser, const ModelFile& model, const TextData& text, int count,
                  std::optional<Judge> judge, const Proofreader* proofreader);

    /// Ends the command with a sentence where such samples cannot be drawn.
    static void check(Denoiser& denoiser, const ModelFile& model, const SamplingOptions& options,
                      const Proofreader* proofreader);
    /// Samples of seeds 0, 1, 2, ...; `progress` is called with the number of samples done.
    SampleResults draw(SamplingOptions options, const std::function<void(int done)>& progress) const;
    /// Tries every sampler of the model at several numbers of passes and temperatures, and draws the frontier
    /// (frontier.h) into a file, anew after each setting. The report has a row for each.
    nlohmann::ordered_json plot(const std::string& file, const SamplingOptions& options, Progress& progress) const;
    /// Draws the same picture without a sample, so that a file that cannot be written is refused before the long work.
    void begin_plot(const std::string& file) const;

    nlohmann::ordered_json real() const;
    void print(const SampleResults& results) const;

private:
    /// The request for a sample that begins as a text with this character does.
    static SamplingRequest request(const ModelFile& model, SamplingOptions options, std::uint64_t seed, int first_id);
    int length() const { return model_.config.seq_len; }
    std::optional<Estimate> judged(std::span<const std::u32string> texts) const;
    std::vector<SamplingOptions> plotted_settings(const SamplingOptions& options) const;
    void draw_frontier(const std::string& file, std::span<const SampleResults> results) const;

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
nlohmann::ordered_json to_json(const SampleResults& results);

}  // namespace folio
