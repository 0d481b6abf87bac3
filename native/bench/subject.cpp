#include "native/bench/subject.h"

#include <algorithm>

#include "core/base/normals.h"
#include "core/base/philox.h"
#include "core/predict/gaussian_predictor.h"
#include "core/predict/host_forward.h"
#include "core/process/masked.h"
#include "core/training/initialisation.h"
#include "native/host/failure.h"
#include "native/training/settings.h"

namespace folio {
namespace {

class TextSubject : public Subject {
public:
    TextSubject(const ModelFile& model, std::span<const int> clean)
        : mask_id_(model.process.mask_id), clean_(clean), ids_(clean.begin(), clean.end()) {
        if (model.config.time_rows > 0) time_rows_.push_back(time_row(0.5, model.config.time_rows));
    }
    bool noisy() const override { return mask_id_ >= 0; }
    void noise() override {
        if (!noisy()) return;
        std::copy(clean_.begin(), clean_.end(), ids_.begin());
        mask_positions(ids_, static_cast<int>(ids_.size()) / 2, mask_id_, 1, 0, 0, Purpose::mask_position);
    }
    Pass pass(Denoiser& denoiser) const override {
        const auto vocab_size = static_cast<std::size_t>(denoiser.config().vocab_size);
        return [this, network = std::make_shared<HostForward>(denoiser),
                logits = std::vector<float>(ids_.size() * vocab_size)]() mutable -> std::span<const float> {
            unwrap(network->forward(ids_, time_rows_, 1, static_cast<int>(ids_.size()), logits));
            return logits;
        };
    }

private:
    int mask_id_;
    std::span<const int> clean_;
    std::vector<int> ids_, time_rows_;
};

class NoisySubject : public Subject {
public:
    NoisySubject(const ModelFile& model, std::span<const int> clean)
        : clean_(clean),
          matched_filter_(model.process.gaussian.matched_filter),
          diffusion_(unwrap(GaussianDiffusion::create(model.process.gaussian, model.config.vocab_size))),
          half_(diffusion_.schedule().level(0.5)),
          eps_(static_cast<std::size_t>(model.config.vocab_size)),
          z_(clean.size() * eps_.size()) {}
    void noise() override {
        for (std::size_t position = 0; position < clean_.size(); ++position) {
            normals(eps_, 1, position, 0, Purpose::diffuse);
            diffusion_.noised(half_, clean_[position], eps_,
                              std::span(z_).subspan(position * eps_.size(), eps_.size()));
        }
    }
    Pass pass(Denoiser& denoiser) const override {
        const auto network =
            std::make_shared<GaussianPredictor>(denoiser, diffusion_, matched_filter_, static_cast<int>(clean_.size()));
        network->z() = z_;
        return [this, network] {
            unwrap(network->forward(half_, [](int) { return false; }));
            return network->output();
        };
    }

private:
    std::span<const int> clean_;
    bool matched_filter_;
    GaussianDiffusion diffusion_;
    NoiseLevel half_;
    std::vector<double> eps_;
    std::vector<float> z_;
};

}  // namespace

ModelFile random_model(const ModelSize& size, int conv_radius) {
    constexpr int characters = 65;  // Tiny Shakespeare's
    nlohmann::json settings = default_settings(presets.front());
    set_size(settings, size);
    settings["conv-radius"] = conv_radius;
    ModelFile model;
    model.config = to_model_config(settings, characters);
    model.process = to_process(settings, characters);
    model.parameters = initial_parameters(model.config, 1);
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        float* values = model.parameters.data() + tensor.offset;
        if (std::any_of(values, values + tensor.count(), [](float value) { return value != 0; })) return;
        for (std::size_t i = 0; i < tensor.count(); ++i) {
            values[i] = static_cast<float>(0.1 * uniform(philox_word(2, i, 0, Purpose::initialise)) - 0.05);
        }
    });
    return model;
}

std::vector<int> random_text(const ModelFile& model) {
    const ModelConfig& config = model.config;
    std::vector<int> text(static_cast<std::size_t>(4 * std::max(bench_length, config.seq_len)));
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] =
            static_cast<int>(philox_word(3, i, 0, Purpose::window) % static_cast<std::uint32_t>(config.vocab_size));
        if (text[i] == model.process.mask_id) text[i] = (text[i] + 1) % config.vocab_size;
    }
    return text;
}

std::unique_ptr<Subject> make_subject(const ModelFile& model, std::span<const int> clean) {
    if (model.process.kind == ProcessKind::gaussian) return std::make_unique<NoisySubject>(model, clean);
    return std::make_unique<TextSubject>(model, clean);
}

}  // namespace folio
