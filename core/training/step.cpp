#include "core/training/step.h"

#include <algorithm>
#include <cmath>

#include "core/training/initialisation.h"

namespace folio {

namespace {

/// One captured graph per shape and loss.
int graph_key(const Batch& batch) {
    return 4 * batch.length + 2 * batch.self_conditioned + (batch.loss == BatchLoss::brier);
}

}  // namespace

Result<Trainer> Trainer::create(Ops& ops, TrainingOps& training, const ModelConfig& config,
                                const ProcessConfig& process, const Recipe& recipe, std::span<const int> text) {
    auto batches = make_batches({ops, training, config, process, recipe}, text);
    if (!batches) return tl::unexpected(batches.error());
    auto optimizer = Optimizer::create(ops, training, config, recipe, initial_parameters(config, recipe.seed));
    if (!optimizer) return tl::unexpected(optimizer.error());
    auto denoiser = Denoiser::create(ops, config, optimizer->parameters.data(), true);
    if (!denoiser) return tl::unexpected(denoiser.error());

    Trainer trainer(ops, training, recipe, std::move(*optimizer), std::move(*batches));
    trainer.denoiser_ = std::make_unique<Denoiser>(std::move(*denoiser));
    trainer.excluded_ = process.mask_id;
    const int rows = recipe.batch * recipe.seq_len;
    Allocations room(ops);
    room.add(trainer.gradients_, trainer.optimizer_.parameters.size()).add(trainer.scalars_, 1);
    room.add(trainer.token_losses_, static_cast<std::size_t>(rows));
    if (!room.status()) return tl::unexpected(room.status().error());
    // Room for a pass over windows of any length.
    if (auto reserved = trainer.denoiser_->reserve(std::min(rows, std::max(recipe.rows_per_pass, recipe.seq_len)), 1);
        !reserved)
        return tl::unexpected(reserved.error());
    return trainer;
}

Result<StepReport> Trainer::run(int step) {
    const StepScalars scalars = step_scalars(recipe_, step);
    scalars_.upload(*ops_, {&scalars, 1});
    CapturedStep captured{this, batches_->draw(step), {}};
    const Batch& batch = captured.batch;
    // A CPU just calls train().
    training_->replay(
        graph_key(batch),
        [](void* context) {
            auto& captured = *static_cast<CapturedStep*>(context);
            captured.status = captured.trainer->train(captured.batch);
        },
        &captured);
    if (!captured.status) return tl::unexpected(captured.status.error());
    return report(step, batch);
}

Result<void> Trainer::train(const Batch& batch) {
    float* gradients = gradients_.data();
    batches_->corrupt(batch, &scalars()->step);
    training_->fill_zero(gradients, gradients_.size());
    const int windows_per_pass = std::max(1, recipe_.rows_per_pass / batch.length);
    for (int first = 0; first < batch.windows; first += windows_per_pass) {
        const int count = std::min(windows_per_pass, batch.windows - first);
        if (auto done = accumulate_gradient(batch.part(first, count), first); !done) return done;
    }
    training_->sum(&scalars()->loss, token_losses_.data(), static_cast<std::size_t>(batch.windows) * batch.length);
    training_->sum_of_squares(&scalars()->sum_of_squares, gradients, gradients_.size());
    training_->clip(&scalars()->scale, &scalars()->sum_of_squares, &scalars()->loss, recipe_.clip);
    optimizer_.update(gradients, scalars());
    return denoiser_->repack();
}

Result<void> Trainer::accumulate_gradient(const Batch& windows, int first) {
    if (windows.self_conditioned)
        if (auto done = self_condition(windows); !done) return done;
    const int first_row = first * windows.length;
    const ForwardDropout dropout{recipe_.dropout, recipe_.seed, &scalars()->step,
                                 static_cast<std::uint64_t>(first_row)};
    auto output = denoiser_->forward(windows.input, windows.windows, windows.length, {dropout, {}, nullptr});
    if (!output) return tl::unexpected(output.error());
    loss(windows, *output, token_losses_.data() + first_row);
    denoiser_->backward(*training_, gradients_.data(), *output);
    return {};
}

Result<void> Trainer::self_condition(const Batch& windows) {
    const auto logits = denoiser_->forward(windows.input, windows.windows, windows.length);
    if (!logits) return tl::unexpected(logits.error());
    const Matrix& soft_tokens = windows.input.soft_tokens;
    const ModelConfig& config = denoiser_->config();
    float* x_hat = soft_tokens.data + config.vocab_size + config.time_rows;
    training_->softmax({x_hat, soft_tokens.rows, config.vocab_size, soft_tokens.stride}, *logits);
    return {};
}

void Trainer::loss(const Batch& windows, Matrix output, float* losses) {
    switch (windows.loss) {
        case BatchLoss::cross_entropy:
            return training_->cross_entropy(output, losses, output, windows.targets, windows.weights, excluded_);
        case BatchLoss::brier: return training_->brier(output, losses, output, windows.targets, windows.weights);
        case BatchLoss::squared_error:
            return training_->squared_error(output, losses, output, windows.target_rows, windows.weights);
    }
}

Result<StepReport> Trainer::report(int step, const Batch& batch) {
    StepScalars scalars;
    scalars_.download(*ops_, {&scalars, 1});
    if (auto done = ops_->synchronize(); !done) return tl::unexpected(done.error());
    StepReport report;
    report.characters = batch.windows * batch.length;
    report.loss = scalars.loss;
    report.gradient_norm = std::sqrt(scalars.sum_of_squares);
    report.finite = std::isfinite(report.loss) && std::isfinite(report.gradient_norm);
    if (report.finite && batches_->adapts(step)) {
        std::vector<float> losses(static_cast<std::size_t>(report.characters));
        token_losses_.download(*ops_, losses);
        if (auto done = ops_->synchronize(); !done) return tl::unexpected(done.error());
        batches_->adapt(step, batch, losses);
    }
    return report;
}

Trainer::State Trainer::save() {
    State state;
    const auto download = [&](std::vector<float>& host, const DeviceArray<float>& device) {
        host.resize(device.size());
        device.download(*ops_, host);
    };
    download(state.parameters, optimizer_.parameters);
    download(state.average, optimizer_.average);
    download(state.moment1, optimizer_.moment1);
    download(state.moment2, optimizer_.moment2);
    if (const LossByNoise* losses = batches_->losses_by_noise()) state.losses = *losses;
    return state;
}

Result<void> Trainer::restore(const State& state) {
    for (const auto& [host, device] :
         {std::pair(&state.parameters, &optimizer_.parameters), std::pair(&state.average, &optimizer_.average),
          std::pair(&state.moment1, &optimizer_.moment1), std::pair(&state.moment2, &optimizer_.moment2)}) {
        if (host->size() != device->size())
            return fail("The saved state does not fit this model; resume with the sizes it was made with.");
        device->upload(*ops_, *host);
    }
    if (LossByNoise* losses = batches_->losses_by_noise()) *losses = state.losses;
    return denoiser_->repack();
}

}  // namespace folio
