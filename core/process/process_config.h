#pragma once

#include <vector>

namespace folio {

/// The processes and their names in weights files: the one list of them. For each, every layer has functions of its own
/// in a file of that process: MaskedBatches (training), masked_format (weights), make_masked_sampler (sampling),
/// evaluate_masked (evaluation) ...
#define FOLIO_FOR_EACH_PROCESS(DO) \
    DO(masked, "masked")           \
    DO(gaussian, "gaussian")       \
    DO(autoregressive, "ar")

enum class ProcessKind {
#define FOLIO_KIND(kind, name) kind,
    FOLIO_FOR_EACH_PROCESS(FOLIO_KIND)
#undef FOLIO_KIND
};

inline constexpr const char* process_names[] = {
#define FOLIO_NAME(kind, name) name,
    FOLIO_FOR_EACH_PROCESS(FOLIO_NAME)
#undef FOLIO_NAME
};

enum class GaussianPrediction { eps, x0 };
enum class GaussianSchedule { linear, warped };

/// Gaussian diffusion over one-hot characters; the fields stand in `folio.process` by these names, `steps` where the
/// schedule is linear, `knots` where it is warped. The defaults are the preset gaussian-article; warped_gaussian() of
/// gaussian.h is the preset gaussian.
struct GaussianConfig {
    GaussianPrediction prediction = GaussianPrediction::eps;
    GaussianSchedule schedule = GaussianSchedule::linear;
    int steps = 128;              // T; beta rises linearly from 1e-4 to 0.02
    std::vector<double> knots;    // g = -log SNR at t = i / (knots - 1), rising; straight lines between
    bool centred = false;         // x = one-hot - 1 / vocab_size, not the one-hot itself
    bool matched_filter = false;  // x0: log p(z | character) is added to the network's logits
};

/// The process that makes a language model of a denoiser; `folio.process` of the weights file. The only schedule of the
/// masked process is the linear one: a character is [MASK] with probability t.
struct ProcessConfig {
    ProcessKind kind = ProcessKind::masked;
    int mask_id = 65;           // the id of [MASK], -1 where the process has none
    GaussianConfig gaussian{};  // only Gaussian models
};

inline const char* name_of(GaussianPrediction prediction) {
    return prediction == GaussianPrediction::x0 ? "x0" : "eps";
}
inline const char* name_of(GaussianSchedule schedule) {
    return schedule == GaussianSchedule::warped ? "warped" : "linear";
}

/// The kind's name in weights files and reports.
inline const char* name_of(ProcessKind kind) { return process_names[static_cast<int>(kind)]; }

}  // namespace folio
