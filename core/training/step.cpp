#include "core/training/step.h"

#include <algorithm>
#include <cmath>

#include "core/model/parameters.h"

namespace folio {

namespace {

int pick(std::uint64_t seed, std::uint64_t index, int step, Purpose purpose, int choices) {
    const double u = uniform(philox_word(seed, index, static_cast<std::uint32_t>(step), purpose));
    return std::min(choices - 1, static_cast<int>(u * choices));
}

/// The window length of a step: seq_len, or for a share of the steps something shorter, since samplers ask for any length.
int window_length(const Recipe& recipe, int step) {
    const Words words = philox(recipe.seed, 0, static_cast<std::uint32_t>(step), Purpose::window_length);
    if (uniform(words.word[0]) >= recipe.short_windows) return recipe.seq_len;
    const int least = std::max(1, recipe.seq_len / 16);
    return least + static_cast<int>(uniform(words.word[1]) * (recipe.seq_len - least));
}

}  // namespace

double schedule(const Recipe& recipe, int step) {
    const double rise = recipe.warmup > 0 ? (step + 1.0) / recipe.warmup : 1.0;
    const double left = recipe.decay > 0 ? (recipe.steps - step) / (static_cast<double>(recipe.decay) * recipe.steps) : 1.0;
    return std::clamp(std::min(rise, left), 0.0, 1.0);
}

std::vector<float> initial_parameters(const ModelConfig& config, std::uint64_t seed) {
    std::vector<float> parameters(parameter_count(config));
    std::uint32_t number = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        const std::uint32_t tensor_number = number++;
        // What is added to a mixture beside its characters begins as nothing.
        const bool beside = config.mixture && tensor.kind == TensorKind::embedding && tensor.offset > 0;
        if (tensor.kind == TensorKind::head || tensor.name.ends_with("c_proj.weight") || beside) return;
        const double fan = static_cast<double>(tensor.rows) / tensor.cols;
        const double deviation =
            tensor.kind == TensorKind::embedding ? 1.0 : std::min(1.0, std::sqrt(fan)) / std::sqrt(tensor.cols);
        float* values = parameters.data() + tensor.offset;
        for (std::size_t i = 0; i < tensor.count(); ++i) {
            const Words words = philox(seed, i, tensor_number, Purpose::initialise);
            const double radius = std::sqrt(-2.0 * std::log(uniform(words.word[0])));
            values[i] = static_cast<float>(deviation * radius * std::cos(6.28318530717958647692 * uniform(words.word[1])));
        }
    });
    return parameters;
}

Result<Trainer> Trainer::create(Ops& ops, TrainingOps& training, const ModelConfig& config, const ProcessConfig& process,
                                const Recipe& recipe, std::span<const int> text) {
    if (static_cast<int>(text.size()) <= recipe.seq_len) {
        return fail("The training text has " + std::to_string(text.size()) + " characters, fewer than one window of " +
                    std::to_string(recipe.seq_len + 1) + "; give a longer text or a smaller --seq-len.");
    }
    Trainer trainer;
    trainer.ops_ = &ops;
    trainer.training_ = &training;
    trainer.config_ = config;
    trainer.process_ = process;
    trainer.recipe_ = recipe;
    trainer.text_size_ = static_cast<int>(text.size());
    trainer.count_ = parameter_count(config);

    const std::size_t arena = trainer.count_ * sizeof(float), places = static_cast<std::size_t>(recipe.batch) * recipe.seq_len;
    struct Request {
        Storage& storage;
        std::size_t bytes;
    };
    for (const Request& request :
         {Request{trainer.parameters_, arena}, Request{trainer.average_, arena}, Request{trainer.moment1_, arena},
          Request{trainer.moment2_, arena}, Request{trainer.gradients_, arena}, Request{trainer.text_, text.size_bytes()},
          Request{trainer.places_, 4 * places * sizeof(float)},
          Request{trainer.rows_, 4 * static_cast<std::size_t>(recipe.batch) * sizeof(float)},
          Request{trainer.scalars_, 2 * sizeof(double)}}) {
        auto storage = ops.allocate(request.bytes);
        if (!storage) return tl::unexpected(storage.error());
        request.storage = std::move(*storage);
    }
    ops.upload(trainer.text_.as<void>(), text.data(), text.size_bytes());
    const std::vector<float> initial = initial_parameters(config, recipe.seed);
    ops.upload(trainer.parameters_.as<void>(), initial.data(), arena);
    ops.upload(trainer.average_.as<void>(), initial.data(), arena);
    training.zero(trainer.moment1_.as<float>(), trainer.count_);
    training.zero(trainer.moment2_.as<float>(), trainer.count_);

    auto denoiser = Denoiser::create(ops, config, trainer.parameters_.as<float>(), true);
    if (!denoiser) return tl::unexpected(denoiser.error());
    trainer.denoiser_ = std::make_unique<Denoiser>(std::move(*denoiser));
    const int sequences = std::min(recipe.batch, std::max(1, recipe.rows_per_pass / recipe.seq_len));
    if (auto room = trainer.denoiser_->reserve(sequences, recipe.seq_len); !room) return tl::unexpected(room.error());
    return trainer;
}

Result<StepReport> Trainer::run(int step) {
    const int batch = recipe_.batch, length = window_length(recipe_, step), places = batch * length;
    const auto step_word = static_cast<std::uint32_t>(step);

    int *input = places_.as<int>(), *targets = input + places, *device_rows = rows_.as<int>();
    auto* weights = reinterpret_cast<float*>(targets + places);
    float *losses = weights + places, *gradients = gradients_.as<float>();
    std::vector<int> rows(3 * static_cast<std::size_t>(batch));
    int *starts = rows.data(), *counts = starts + batch, *times = counts + batch;
    const bool causal = process_.kind == ProcessKind::autoregressive;
    for (int b = 0; b < batch; ++b) {
        starts[b] = pick(recipe_.seed, static_cast<std::uint64_t>(b), step, Purpose::window, text_size_ - length + !causal);
    }
    if (causal) {
        ops_->upload(device_rows, starts, static_cast<std::size_t>(batch) * sizeof(int));
        training_->corrupt_autoregressive(input, targets, weights, text_.as<int>(), device_rows, batch, length, config_.vocab_size,
                                          recipe_.input_noise, recipe_.seed, step_word);
    } else {
        const bool by_bound = step >= static_cast<int>((1.0 - recipe_.nelbo_share) * recipe_.steps);
        const MaskedBatch masks =
            stratified_masks(batch, length, by_bound ? MaskedLoss::nelbo : recipe_.loss, recipe_.seed, step_word);
        for (int b = 0; b < batch; ++b) {
            counts[b] = masks.counts[b];
            times[b] = config_.time_rows > 0 ? time_row(static_cast<double>(counts[b]) / length, config_.time_rows) : 0;
        }
        auto* row_weights = reinterpret_cast<float*>(device_rows + 3 * batch);
        ops_->upload(device_rows, rows.data(), rows.size() * sizeof(int));
        ops_->upload(row_weights, masks.row_weights.data(), static_cast<std::size_t>(batch) * sizeof(float));
        training_->corrupt_masked(input, targets, weights, text_.as<int>(), device_rows, device_rows + batch, row_weights, batch,
                                  length, process_.mask_id, recipe_.seed, step_word);
    }

    training_->zero(gradients, count_);
    const int sequences = std::min(batch, std::max(1, recipe_.rows_per_pass / length));
    for (int first = 0; first < batch; first += sequences) {
        const int n = std::min(sequences, batch - first), at = first * length;
        const ForwardNoise noise{recipe_.dropout, recipe_.seed, step_word, static_cast<std::uint64_t>(at)};
        auto logits = denoiser_->forward({input + at, device_rows + 2 * batch + first, {}, {}}, n, length, noise);
        if (!logits) return tl::unexpected(logits.error());
        training_->cross_entropy(*logits, losses + at, *logits, targets + at, weights + at, process_.mask_id);
        denoiser_->backward(*training_, gradients, *logits);
    }

    auto* squared_norm = scalars_.as<double>();
    auto* scale = reinterpret_cast<float*>(squared_norm + 1);
    training_->squared_norm(squared_norm, gradients, count_);
    if (auto done = ops_->finish(); !done) return tl::unexpected(done.error());
    StepReport report;
    report.characters = places;
    double square = 0;
    std::vector<float> host_losses(static_cast<std::size_t>(places));
    ops_->download(host_losses.data(), losses, host_losses.size() * sizeof(float));
    ops_->download(&square, squared_norm, sizeof square);
    for (float loss : host_losses) report.loss += loss;
    report.gradient_norm = std::sqrt(square);
    report.finite = std::isfinite(report.loss) && std::isfinite(report.gradient_norm);
    if (!report.finite) return report;

    const float factor = report.gradient_norm > recipe_.clip ? static_cast<float>(recipe_.clip / report.gradient_norm) : 1.f;
    ops_->upload(scale, &factor, sizeof factor);
    update(step, scale);
    if (auto done = ops_->finish(); !done) return tl::unexpected(done.error());
    if (auto packed = denoiser_->repack(); !packed) return tl::unexpected(packed.error());
    return report;
}

void Trainer::update(int step, const float* scale) {
    const auto factor = static_cast<float>(schedule(recipe_, step));
    AdamW adamw{recipe_.lr * factor, recipe_.beta1, recipe_.beta2};
    adamw.correction1 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe_.beta1), step + 1));
    adamw.correction2 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe_.beta2), step + 1));
    const Muon muon{recipe_.muon_lr * factor, 0.95f, recipe_.weight_decay};
    for_each_tensor(config_, [&](const TensorSpec& tensor) {
        float* values = parameters_.as<float>() + tensor.offset;
        float* moment1 = moment1_.as<float>() + tensor.offset;
        const float* gradient = gradients_.as<float>() + tensor.offset;
        const bool matrix = tensor.kind == TensorKind::matrix;
        if (matrix && recipe_.muon_lr > 0) {
            training_->muon(values, moment1, gradient, scale, tensor.rows, tensor.cols, muon);
        } else {
            AdamW options = adamw;
            options.weight_decay = matrix ? recipe_.weight_decay : 0.f;
            training_->adamw(values, moment1, moment2_.as<float>() + tensor.offset, gradient, scale, tensor.count(), options);
        }
    });
    // The average forgets its random beginning faster than its final decay would.
    const float decay = std::min(recipe_.ema, (1.f + static_cast<float>(step)) / (10.f + static_cast<float>(step)));
    training_->ema(average_.as<float>(), parameters_.as<float>(), count_, decay);
}

Trainer::State Trainer::save() {
    State state;
    for (auto [host, device] : {std::pair{&state.parameters, &parameters_}, std::pair{&state.average, &average_},
                                std::pair{&state.moment1, &moment1_}, std::pair{&state.moment2, &moment2_}}) {
        host->resize(count_);
        ops_->download(host->data(), device->as<void>(), count_ * sizeof(float));
    }
    return state;
}

Result<void> Trainer::restore(const State& state) {
    for (auto [host, device] : {std::pair{&state.parameters, &parameters_}, std::pair{&state.average, &average_},
                                std::pair{&state.moment1, &moment1_}, std::pair{&state.moment2, &moment2_}}) {
        if (host->size() != count_) return fail("The saved state does not fit this model; resume with the sizes it was made with.");
        ops_->upload(device->as<void>(), host->data(), count_ * sizeof(float));
    }
    return denoiser_->repack();
}

}  // namespace folio
