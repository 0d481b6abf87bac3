#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/model/denoiser.h"
#include "core/weights/model_file.h"
#include "native/training/options.h"

namespace folio {

/// Characters of the text that a pass sees, where the model takes as many.
inline constexpr int bench_length = 256;

/// The masked model that `folio train` begins with, but with no tensor left at zero.
ModelFile random_model(const ModelSize& size, int conv_radius);
/// A text of random characters, long enough for training and for a pass.
std::vector<int> random_text(const ModelFile& model);

/// One forward pass; its output stays until the next one.
using Pass = std::function<std::span<const float>()>;

/// A text at half noise, as a model's process has it, and passes over it.
class Subject {
public:
    virtual ~Subject() = default;
    /// True if its process adds noise at all.
    virtual bool noisy() const { return true; }
    virtual void noise() = 0;
    /// A pass over the text as it is now. Subject and denoiser must outlive it.
    virtual Pass pass(Denoiser& denoiser) const = 0;
};

/// `clean` must outlive the subject.
std::unique_ptr<Subject> make_subject(const ModelFile& model, std::span<const int> clean);

}  // namespace folio
