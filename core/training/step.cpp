#include "core/training/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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
    if (process.kind == ProcessKind::gaussian) {
        auto diffusion = GaussianDiffusion::create(process.gaussian, config.vocab_size);
        if (!diffusion) return tl::unexpected(diffusion.error());
        trainer.diffusion_ = std::move(*diffusion);
    }
    trainer.count_ = parameter_count(config);

    const std::size_t arena = trainer.count_ * sizeof(float), places = static_cast<std::size_t>(recipe.batch) * recipe.seq_len;
    const std::size_t numbers = config.mixture ? config.input_width() + config.vocab_size : 0;  // of a noisy place
    struct Request {
        Storage& storage;
        std::size_t bytes;
    };
    for (const Request& request :
         {Request{trainer.parameters_, arena}, Request{trainer.average_, arena}, Request{trainer.moment1_, arena},
          Request{trainer.moment2_, arena}, Request{trainer.gradients_, arena}, Request{trainer.text_, text.size_bytes()},
          Request{trainer.places_, places * (3 + numbers) * sizeof(float)}, Request{trainer.losses_, places * sizeof(float)},
          Request{trainer.rows_, static_cast<std::size_t>(recipe.batch + 1) * (6 + config.time_rows) * sizeof(float)},
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

Trainer::Batch Trainer::corrupt_masked(int step, int length, std::span<const int> starts) {
    const int batch = recipe_.batch, places = batch * length;
    std::vector<int> rows(starts.begin(), starts.end());
    const MaskedBatch masks = stratified_masks(batch, length, by_bound(step) ? MaskedLoss::nelbo : recipe_.loss, recipe_.seed,
                                               static_cast<std::uint32_t>(step));
    rows.insert(rows.end(), masks.counts.begin(), masks.counts.end());
    for (const int count : masks.counts)
        rows.push_back(config_.time_rows > 0 ? time_row(static_cast<double>(count) / length, config_.time_rows) : 0);
    int* device_rows = rows_.as<int>();
    auto* row_weights = reinterpret_cast<float*>(device_rows + 3 * batch);
    ops_->upload(device_rows, rows.data(), rows.size() * sizeof(int));
    ops_->upload(row_weights, masks.row_weights.data(), static_cast<std::size_t>(batch) * sizeof(float));
    int *input = places_.as<int>(), *targets = input + places;
    auto* weights = reinterpret_cast<float*>(targets + places);
    training_->corrupt_masked(input, targets, weights, text_.as<int>(), device_rows, device_rows + batch, row_weights, batch, length,
                              process_.mask_id, recipe_.seed, static_cast<std::uint32_t>(step));
    return {{input, device_rows + 2 * batch, {}, {}}, targets, {}, weights};
}

Trainer::Batch Trainer::corrupt_autoregressive(int step, int length, std::span<const int> starts) {
    const int batch = recipe_.batch, places = batch * length;
    ops_->upload(rows_.as<int>(), starts.data(), starts.size_bytes());
    int *input = places_.as<int>(), *targets = input + places;
    auto* weights = reinterpret_cast<float*>(targets + places);
    training_->corrupt_autoregressive(input, targets, weights, text_.as<int>(), rows_.as<int>(), batch, length, config_.vocab_size,
                                      recipe_.input_noise, recipe_.seed, static_cast<std::uint32_t>(step));
    return {{input, nullptr, {}, {}}, targets, {}, weights};
}

Trainer::Batch Trainer::corrupt_gaussian(int step, int length, std::span<const int> starts) {
    const int batch = recipe_.batch, places = batch * length, V = config_.vocab_size;
    const bool eps = process_.gaussian.prediction == GaussianPrediction::eps;
    const auto chance = [&](int b, int word) {
        return uniform(philox(recipe_.seed, 2 + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(step), Purpose::mask_count).word[word]);
    };
    // Times spread evenly over the batch from one offset, as the masked process spreads its counts.
    const double offset = uniform(philox(recipe_.seed, 0, static_cast<std::uint32_t>(step), Purpose::mask_count).word[0]);
    std::vector<int> known(static_cast<std::size_t>(places));
    std::vector<bool> aided(static_cast<std::size_t>(batch));
    int open = places;
    for (int b = 0; b < batch; ++b) {
        if (chance(b, 0) >= recipe_.known) continue;
        // A prefix or any set of places, at most half of them.
        const int count = static_cast<int>(chance(b, 2) * length / 2);
        const auto window = std::span(known).subspan(static_cast<std::size_t>(b) * length, length);
        if (chance(b, 1) < 0.5) std::fill_n(window.begin(), count, 1);
        else mask_places(window, count, 1, recipe_.seed, static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(step), Purpose::mask_place);
        open -= count;
        aided[b] = count > 0;
    }
    Batch made;
    made.squared = !eps && by_bound(step);
    std::vector<float> levels, features(static_cast<std::size_t>(batch) * config_.time_rows);
    const auto add_level = [&](const Level& level, double weight) {
        const double prior = process_.gaussian.matched_filter ? level.matched_filter() : 0;
        for (const double number : {level.alpha, level.sigma, diffusion_->input_scale(level), prior, weight})
            levels.push_back(static_cast<float>(number));
    };
    for (int b = 0; b < batch; ++b) {
        const double turn = offset + static_cast<double>(b) / batch, share = turn - std::floor(turn);
        const auto [level, weight] = made.squared ? diffusion_->bound_draw(share)
                                                  : GaussianDiffusion::Draw{diffusion_->training_level(share), eps ? 1.0 / V : 1};
        add_level(level, weight / open);
        diffusion_->features(level, std::span(features).subspan(static_cast<std::size_t>(b) * config_.time_rows, config_.time_rows));
        made.windows.push_back({level.g, weight / open, aided[b]});
    }
    add_level(diffusion_->level(0), 0);

    int* device_starts = rows_.as<int>();
    auto* device_levels = reinterpret_cast<float*>(device_starts + batch);
    float* device_features = device_levels + levels.size();
    int *device_known = places_.as<int>(), *targets = device_known + places;
    auto* weights = reinterpret_cast<float*>(targets + places);
    float* numbers = weights + places;
    ops_->upload(device_starts, starts.data(), starts.size_bytes());
    ops_->upload(device_levels, levels.data(), levels.size() * sizeof(float));
    ops_->upload(device_features, features.data(), features.size() * sizeof(float));
    ops_->upload(device_known, known.data(), known.size() * sizeof(int));
    GaussianRows rows;
    rows.mixture = {numbers, places, config_.input_width()};
    const Matrix beside{numbers + static_cast<std::ptrdiff_t>(places) * config_.input_width(), places, V};
    if (eps) rows.noise = beside;
    if (process_.gaussian.matched_filter) rows.prior = beside;
    rows.targets = targets;
    rows.weights = weights;
    const float centre = process_.gaussian.centred ? 1.f / static_cast<float>(V) : 0.f;
    training_->corrupt_gaussian(rows, text_.as<int>(), device_starts, batch, length, V,
                                {device_levels, device_features, device_known, centre, recipe_.seed, static_cast<std::uint32_t>(step)});
    made.input = {nullptr, nullptr, rows.mixture, rows.prior};
    made.targets = targets;
    made.target_rows = rows.noise;
    made.weights = weights;
    return made;
}

void Trainer::watch_noise(int step, const Batch& batch, int length, std::span<const float> losses) {
    losses_by_noise_.forget();
    for (std::size_t b = 0; b < batch.windows.size(); ++b) {
        const Batch::Window& window = batch.windows[b];
        if (window.aided) continue;
        const auto row = losses.subspan(b * static_cast<std::size_t>(length), static_cast<std::size_t>(length));
        losses_by_noise_.add(window.g, std::accumulate(row.begin(), row.end(), 0.0) / (window.weight * length));
    }
    if ((step + 1) % recipe_.refit_every != 0) return;
    process_.gaussian.knots = losses_by_noise_.knots();
    diffusion_ = GaussianDiffusion::create(process_.gaussian, config_.vocab_size).value();
}

Result<StepReport> Trainer::run(int step) {
    const int batch = recipe_.batch, length = window_length(recipe_, step), places = batch * length;
    const auto step_word = static_cast<std::uint32_t>(step);

    std::vector<int> starts;
    for (int b = 0; b < batch; ++b) {
        // What follows a window is the last target of an autoregressive model; the others could begin one later.
        const bool followed = process_.kind == ProcessKind::autoregressive;
        starts.push_back(pick(recipe_.seed, static_cast<std::uint64_t>(b), step, Purpose::window, text_size_ - length + !followed));
    }
    const Batch made = process_.kind == ProcessKind::masked     ? corrupt_masked(step, length, starts)
                       : process_.kind == ProcessKind::gaussian ? corrupt_gaussian(step, length, starts)
                                                                : corrupt_autoregressive(step, length, starts);
    float *losses = losses_.as<float>(), *gradients = gradients_.as<float>();

    const bool conditioned =
        config_.self_conditioning && uniform(philox(recipe_.seed, 1, step_word, Purpose::mask_count).word[0]) < recipe_.self_conditioning;
    training_->zero(gradients, count_);
    const int sequences = std::min(batch, std::max(1, recipe_.rows_per_pass / length));
    for (int first = 0; first < batch; first += sequences) {
        const int n = std::min(sequences, batch - first), at = first * length;
        const ForwardNoise noise{recipe_.dropout, recipe_.seed, step_word, static_cast<std::uint64_t>(at)};
        const auto rows = [&](Matrix all) { return all.rows == 0 ? all : Matrix(all.row(at), n * length, all.cols, all.stride); };
        const Input input{made.input.ids ? made.input.ids + at : nullptr, made.input.time_row ? made.input.time_row + first : nullptr,
                          rows(made.input.mixture), rows(made.input.prior)};
        if (conditioned) {
            // What the network makes of these rows without help is what it is shown the second time; nothing flows back through it.
            auto answer = denoiser_->forward(input, n, length);
            if (!answer) return tl::unexpected(answer.error());
            const Matrix& mixture = input.mixture;
            const int column = config_.vocab_size + config_.time_rows;
            training_->softmax({mixture.data + column, mixture.rows, config_.vocab_size, mixture.stride}, *answer);
        }
        auto logits = denoiser_->forward(input, n, length, noise);
        if (!logits) return tl::unexpected(logits.error());
        if (made.target_rows.rows > 0) {
            training_->mean_squares(*logits, losses + at, *logits, rows(made.target_rows), made.weights + at);
        } else if (made.squared) {
            training_->brier(*logits, losses + at, *logits, made.targets + at, made.weights + at);
        } else {
            training_->cross_entropy(*logits, losses + at, *logits, made.targets + at, made.weights + at, process_.mask_id);
        }
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
    if (diffusion_ && recipe_.refit_every > 0 && !by_bound(step)) watch_noise(step, made, length, host_losses);
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
    state.losses = losses_by_noise_;
    return state;
}

Result<void> Trainer::restore(const State& state) {
    for (auto [host, device] : {std::pair{&state.parameters, &parameters_}, std::pair{&state.average, &average_},
                                std::pair{&state.moment1, &moment1_}, std::pair{&state.moment2, &moment2_}}) {
        if (host->size() != count_) return fail("The saved state does not fit this model; resume with the sizes it was made with.");
        ops_->upload(device->as<void>(), host->data(), count_ * sizeof(float));
    }
    losses_by_noise_ = state.losses;
    return denoiser_->repack();
}

}  // namespace folio
