#include "core/training/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/model/parameters.h"

namespace folio {

StepScalars step_scalars(const Recipe& recipe, int step) {
    const auto factor = static_cast<float>(lr_schedule(recipe, step));
    StepScalars scalars;
    scalars.step = static_cast<std::uint32_t>(step);
    scalars.adamw = {recipe.lr * factor, recipe.beta1, recipe.beta2};
    scalars.adamw.correction1 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe.beta1), step + 1));
    scalars.adamw.correction2 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe.beta2), step + 1));
    scalars.decaying = scalars.adamw;
    scalars.decaying.weight_decay = recipe.weight_decay;
    scalars.muon = {recipe.muon_lr * factor, 0.95f, recipe.weight_decay};
    // The average sheds its random beginning faster than its final decay would.
    scalars.ema = std::min(recipe.ema, (1.f + static_cast<float>(step)) / (10.f + static_cast<float>(step)));
    return scalars;
}

Result<Optimizer> Optimizer::create(Ops& ops, TrainingOps& training, const ModelConfig& config, const Recipe& recipe,
                                    std::span<const float> parameters) {
    Optimizer optimizer(training, config, recipe.muon_lr > 0);
    Allocations room(ops);
    for (auto* arena : {&optimizer.parameters, &optimizer.average, &optimizer.moment1, &optimizer.moment2})
        room.add(*arena, parameters.size());
    if (!room.status()) return tl::unexpected(room.status().error());
    optimizer.parameters.upload(ops, parameters);
    optimizer.average.upload(ops, parameters);
    training.fill_zero(optimizer.moment1.data(), parameters.size());
    training.fill_zero(optimizer.moment2.data(), parameters.size());
    return optimizer;
}

void Optimizer::update(const float* gradients, const StepScalars* scalars) {
    const std::size_t matrices = embedding_count(config_);  // where the blocks begin
    const std::size_t head = parameters.size() - static_cast<std::size_t>(config_.vocab_size) * config_.d_model;
    update_adamw(gradients, scalars, 0, matrices, &scalars->adamw);
    update_adamw(gradients, scalars, head, parameters.size(), &scalars->adamw);
    if (muon_)
        update_muon(gradients, scalars, matrices, head);
    else
        update_adamw(gradients, scalars, matrices, head, &scalars->decaying);
    training_->ema(average.data(), parameters.data(), &scalars->scale, parameters.size(), &scalars->ema);
}

void Optimizer::update_adamw(const float* gradients, const StepScalars* scalars, std::size_t first, std::size_t end,
                             const AdamW* options) {
    training_->adamw(parameters.data() + first, moment1.data() + first, moment2.data() + first, gradients + first,
                     &scalars->scale, end - first, options);
}

void Optimizer::update_muon(const float* gradients, const StepScalars* scalars, std::size_t first, std::size_t end) {
    const std::size_t block = (end - first) / config_.n_layer;
    for_each_tensor(config_, [&](const TensorSpec& tensor) {
        const std::size_t offset = tensor.offset;
        if (offset < first || offset >= first + block) return;
        training_->muon(parameters.data() + offset, moment1.data() + offset, gradients + offset, &scalars->scale,
                        tensor.rows, tensor.cols, config_.n_layer, block, &scalars->muon);
    });
}

}  // namespace folio
