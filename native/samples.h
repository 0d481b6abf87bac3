#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "core/evaluation/statistics.h"
#include "core/sampling/sampler.h"
#include "core/weights/model_file.h"
#include "native/progress.h"
#include "native/text_data.h"

namespace folio {

/// What came of sampling at one setting; passes and time are means over samples.
struct Drawn {
    SamplingOptions options;
    TextStatistics statistics;
    double passes = 0, ms = 0;
};

/// Samples of a model, measured beside real text of the same length.
class SampleMeasure {
public:
    /// Model and denoiser must outlive it.
    SampleMeasure(Denoiser& denoiser, const ModelFile& model, const TextData& text, int count);

    /// Samples of seeds 0, 1, 2, ...; `progress` is told of those done.
    Drawn draw(SamplingOptions options, const std::function<void(int done)>& progress) const;
    /// Tries every sampler of the model at several numbers of passes and temperatures, and draws the frontier (frontier.h) into a
    /// file, anew after each. The report has a row for each.
    nlohmann::ordered_json plot(const std::string& file, const SamplingOptions& options, Progress& progress) const;
    /// The same picture with nothing in it: whether the file can be written shows before the long work.
    void begin_plot(const std::string& file) const;

    int count() const { return count_; }
    nlohmann::ordered_json real() const;
    void print(const Drawn& drawn) const;

private:
    int length() const { return model_.config.seq_len; }

    Denoiser& denoiser_;
    const ModelFile& model_;
    int count_;
    TrainingText training_;
    TextStatistics real_;
};

/// The setting and what came of it.
nlohmann::ordered_json to_json(const Drawn& drawn);

}  // namespace folio
