#include "core/training/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/model/parameters.h"
#include "core/training/initialisation.h"

namespace folio {

namespace {

int pick(std::uint64_t seed, std::uint64_t index, int step, Purpose purpose, int choices) {
    const double u = uniform(philox_word(seed, index, static_cast<std::uint32_t>(step), purpose));
    return std::min(choices - 1, static_cast<int>(u * choices));
}

/// The window length of a step: seq_len, or for a share of the steps something shorter, since samplers ask for any
/// length.
int window_length(const Recipe& recipe, int step) {
    const Words words = philox(recipe.seed, 0, static_cast<std::uint32_t>(step), Purpose::window_length);
    if (uniform(words.word[0]) >= recipe.short_windows) return recipe.seq_len;
    const int least = std::max(1, recipe.seq_len / 16);
    return least + static_cast<int>(uniform(words.word[1]) * (recipe.seq_len - least));
}

}  // namespace

double schedule(const Recipe& recipe, int step) {
    const double rise = recipe.warmup > 0 ? (step + 1.0) / recipe.warmup : 1.0;
    const double left =
        recipe.decay > 0 ? (recipe.steps - step) / (static_cast<double>(recipe.decay) * recipe.steps) : 1.0;
    return std::clamp(std::min(rise, left), 0.0, 1.0);
}

Result<Trainer> Trainer::create(Ops& ops, TrainingOps& training, const ModelConfig& config,
                                const ProcessConfig& process, const Recipe& recipe, std::span<const int> text) {
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

    const std::size_t arena = trainer.count_ * sizeof(float),
                      positions = static_cast<std::size_t>(recipe.batch) * recipe.seq_len;
    const std::size_t numbers =
        config.soft_tokens ? config.input_width() + config.vocab_size : 0;  // of a noisy position
    struct Request {
        Storage& storage;
        std::size_t bytes;
    };
    for (const Request& request :
         {Request{trainer.parameters_, arena}, Request{trainer.average_, arena}, Request{trainer.moment1_, arena},
          Request{trainer.moment2_, arena}, Request{trainer.gradients_, arena},
          Request{trainer.text_, text.size_bytes()},
          Request{trainer.places_, positions * (3 + numbers) * sizeof(float)},
          Request{trainer.losses_, positions * sizeof(float)},
          Request{trainer.rows_, static_cast<std::size_t>(recipe.batch + 1) * (6 + config.time_rows) * sizeof(float)},
          Request{trainer.numbers_, sizeof(Numbers)}}) {
        auto storage = ops.allocate(request.bytes);
        if (!storage) return tl::unexpected(storage.error());
        request.storage = std::move(*storage);
    }
    ops.upload(trainer.text_.as<void>(), text.data(), text.size_bytes());
    const std::vector<float> initial = initial_parameters(config, recipe.seed);
    ops.upload(trainer.parameters_.as<void>(), initial.data(), arena);
    ops.upload(trainer.average_.as<void>(), initial.data(), arena);
    training.fill_zero(trainer.moment1_.as<float>(), trainer.count_);
    training.fill_zero(trainer.moment2_.as<float>(), trainer.count_);

    auto denoiser = Denoiser::create(ops, config, trainer.parameters_.as<float>(), true);
    if (!denoiser) return tl::unexpected(denoiser.error());
    trainer.denoiser_ = std::make_unique<Denoiser>(std::move(*denoiser));
    // Room for a pass over windows of any length.
    const int rows = static_cast<int>(std::min<std::size_t>(positions, std::max(recipe.rows_per_pass, recipe.seq_len)));
    if (auto room = trainer.denoiser_->reserve(rows, 1); !room) return tl::unexpected(room.error());
    return trainer;
}

Trainer::Batch Trainer::masked_batch(int step, int length, std::span<const int> starts) {
    const int batch = recipe_.batch, positions = batch * length;
    std::vector<int> rows(starts.begin(), starts.end());
    const bool nelbo = trains_nelbo(step);  // whose mask rates are uniform
    const MaskedBatch masks =
        stratified_masks(batch, length, nelbo ? MaskRate::uniform : recipe_.mask_rate,
                         nelbo ? MaskedLoss::nelbo : recipe_.loss, recipe_.seed, static_cast<std::uint32_t>(step));
    rows.insert(rows.end(), masks.counts.begin(), masks.counts.end());
    for (const int count : masks.counts)
        rows.push_back(config_.time_rows > 0 ? time_row(static_cast<double>(count) / length, config_.time_rows) : 0);
    int* device_rows = rows_.as<int>();
    auto* row_weights = reinterpret_cast<float*>(device_rows + 3 * batch);
    ops_->upload(device_rows, rows.data(), rows.size() * sizeof(int));
    ops_->upload(row_weights, masks.row_weights.data(), static_cast<std::size_t>(batch) * sizeof(float));
    int *input = places_.as<int>(), *targets = input + positions;
    Batch made;
    made.input = {input, device_rows + 2 * batch, {}, {}};
    made.targets = targets;
    made.weights = reinterpret_cast<float*>(targets + positions);
    made.starts = device_rows;
    made.counts = device_rows + batch;
    made.row_weights = row_weights;
    return made;
}

Trainer::Batch Trainer::autoregressive_batch(int length, std::span<const int> starts) {
    const int positions = recipe_.batch * length;
    ops_->upload(rows_.as<int>(), starts.data(), starts.size_bytes());
    int *input = places_.as<int>(), *targets = input + positions;
    Batch made;
    made.input = {input, nullptr, {}, {}};
    made.targets = targets;
    made.weights = reinterpret_cast<float*>(targets + positions);
    made.starts = rows_.as<int>();
    return made;
}

Trainer::Batch Trainer::gaussian_batch(int step, int length, std::span<const int> starts) {
    const int batch = recipe_.batch, positions = batch * length, V = config_.vocab_size;
    const bool eps = process_.gaussian.prediction == GaussianPrediction::eps;
    const auto chance = [&](int b, int word) {
        return uniform(philox(recipe_.seed, 2 + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(step),
                              Purpose::mask_count)
                           .word[word]);
    };
    // Times spread evenly over the batch from one offset, as the masked process spreads its counts.
    const double offset =
        uniform(philox(recipe_.seed, 0, static_cast<std::uint32_t>(step), Purpose::mask_count).word[0]);
    std::vector<int> known(static_cast<std::size_t>(positions));
    std::vector<bool> aided(static_cast<std::size_t>(batch));
    int open = positions;
    for (int b = 0; b < batch; ++b) {
        if (chance(b, 0) >= recipe_.known) continue;
        // A prefix or any set of positions, at most half of them.
        const int count = static_cast<int>(chance(b, 2) * length / 2);
        const auto window = std::span(known).subspan(static_cast<std::size_t>(b) * length, length);
        if (chance(b, 1) < 0.5)
            std::fill_n(window.begin(), count, 1);
        else
            mask_positions(window, count, 1, recipe_.seed, static_cast<std::uint64_t>(b),
                           static_cast<std::uint32_t>(step), Purpose::mask_position);
        open -= count;
        aided[b] = count > 0;
    }
    Batch made;
    made.squared = !eps && trains_nelbo(step);
    std::vector<float> levels, features(static_cast<std::size_t>(batch) * config_.time_rows);
    const auto add_level = [&](const NoiseLevel& level, double weight) {
        const double prior = process_.gaussian.matched_filter ? level.matched_filter() : 0;
        for (const double number : {level.alpha, level.sigma, diffusion_->input_scale(level), prior, weight})
            levels.push_back(static_cast<float>(number));
    };
    for (int b = 0; b < batch; ++b) {
        const double turn = offset + static_cast<double>(b) / batch, share = turn - std::floor(turn);
        const auto [level, weight] = made.squared
                                         ? bound_draw(diffusion_->schedule(), share)
                                         : BoundDraw{diffusion_->schedule().training_level(share), eps ? 1.0 / V : 1};
        add_level(level, weight / open);
        diffusion_->schedule().features(
            level, std::span(features).subspan(static_cast<std::size_t>(b) * config_.time_rows, config_.time_rows));
        made.windows.push_back({level.neg_log_snr, weight / open, aided[b]});
    }
    add_level(diffusion_->schedule().level(0), 0);
    const std::size_t level_numbers = levels.size();
    levels.insert(levels.end(), features.begin(), features.end());

    int* device_starts = rows_.as<int>();
    auto* device_levels = reinterpret_cast<float*>(device_starts + batch);
    float* device_features = device_levels + level_numbers;
    int *device_known = places_.as<int>(), *targets = device_known + positions;
    auto* weights = reinterpret_cast<float*>(targets + positions);
    float* numbers = weights + positions;
    ops_->upload(device_starts, starts.data(), starts.size_bytes());
    ops_->upload(device_levels, levels.data(), levels.size() * sizeof(float));
    ops_->upload(device_known, known.data(), known.size() * sizeof(int));
    made.input.soft_tokens = {numbers, positions, config_.input_width()};
    const Matrix beside{numbers + static_cast<std::ptrdiff_t>(positions) * config_.input_width(), positions, V};
    if (eps) made.target_rows = beside;
    if (process_.gaussian.matched_filter) made.input.logit_bias = beside;
    made.targets = targets;
    made.weights = weights;
    made.starts = device_starts;
    const float centre = process_.gaussian.centred ? 1.f / static_cast<float>(V) : 0.f;
    made.noise = {device_levels, device_features, config_.time_rows, device_known, centre, recipe_.seed, &now()->step};
    return made;
}

void Trainer::corrupt(const Batch& batch, int length) {
    const int* text = text_.as<int>();
    int *input = places_.as<int>(), *targets = input + recipe_.batch * length;
    auto* weights = reinterpret_cast<float*>(targets + recipe_.batch * length);
    switch (process_.kind) {
        case ProcessKind::masked:
            return training_->corrupt_masked(input, targets, weights, text, batch.starts, batch.counts,
                                             batch.row_weights, recipe_.batch, length, process_.mask_id, recipe_.seed,
                                             &now()->step);
        case ProcessKind::gaussian:
            return training_->corrupt_gaussian(
                {batch.input.soft_tokens, batch.input.logit_bias, batch.target_rows, targets, weights}, text,
                batch.starts, recipe_.batch, length, config_.vocab_size, batch.noise);
        case ProcessKind::autoregressive:
            return training_->corrupt_autoregressive(input, targets, weights, text, batch.starts, recipe_.batch, length,
                                                     config_.vocab_size, recipe_.input_noise, recipe_.seed,
                                                     &now()->step);
    }
}

void Trainer::watch_noise(int step, const Batch& batch, int length, std::span<const float> losses) {
    losses_by_noise_.decay();
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
    const int batch = recipe_.batch, length = window_length(recipe_, step), positions = batch * length;
    const auto step_word = static_cast<std::uint32_t>(step);

    std::vector<int> starts;
    for (int b = 0; b < batch; ++b) {
        // What follows a window is the last target of an autoregressive model; the others could begin one later.
        const bool followed = process_.kind == ProcessKind::autoregressive;
        starts.push_back(
            pick(recipe_.seed, static_cast<std::uint64_t>(b), step, Purpose::window, text_size_ - length + !followed));
    }
    const bool conditioned =
        config_.self_conditioning &&
        uniform(philox(recipe_.seed, 1, step_word, Purpose::mask_count).word[0]) < recipe_.self_conditioning;
    const Numbers given = numbers(step);
    ops_->upload(now(), &given, sizeof given);
    Record record{this,
                  process_.kind == ProcessKind::masked     ? masked_batch(step, length, starts)
                  : process_.kind == ProcessKind::gaussian ? gaussian_batch(step, length, starts)
                                                           : autoregressive_batch(length, starts),
                  length, conditioned};
    const int key = 4 * length + 2 * conditioned + record.batch.squared;
    training_->replay(
        key,
        [](void* context) {
            auto& r = *static_cast<Record*>(context);
            r.status = r.trainer->train(r.batch, r.length, r.conditioned);
        },
        &record);
    if (!record.status) return tl::unexpected(record.status.error());
    Numbers seen;
    ops_->download(&seen, now(), sizeof seen);
    if (auto done = ops_->synchronize(); !done) return tl::unexpected(done.error());
    StepReport report;
    report.characters = positions;
    report.loss = seen.loss;
    report.gradient_norm = std::sqrt(seen.sum_of_squares);
    report.finite = std::isfinite(report.loss) && std::isfinite(report.gradient_norm);
    if (report.finite && diffusion_ && recipe_.refit_every > 0 && !trains_nelbo(step)) {
        std::vector<float> losses(static_cast<std::size_t>(positions));
        ops_->download(losses.data(), losses_.as<float>(), losses.size() * sizeof(float));
        if (auto done = ops_->synchronize(); !done) return tl::unexpected(done.error());
        watch_noise(step, record.batch, length, losses);
    }
    return report;
}

Result<void> Trainer::train(const Batch& made, int length, bool conditioned) {
    const int batch = recipe_.batch;
    float *losses = losses_.as<float>(), *gradients = gradients_.as<float>();
    corrupt(made, length);
    training_->fill_zero(gradients, count_);
    const int sequences = std::min(batch, std::max(1, recipe_.rows_per_pass / length));
    for (int first = 0; first < batch; first += sequences) {
        const int n = std::min(sequences, batch - first), at = first * length;
        const ForwardNoise noise{recipe_.dropout, recipe_.seed, &now()->step, static_cast<std::uint64_t>(at)};
        const auto rows = [&](Matrix all) {
            return all.rows == 0 ? all : Matrix(all.row(at), n * length, all.cols, all.stride);
        };
        const Input input{made.input.ids ? made.input.ids + at : nullptr,
                          made.input.time_row ? made.input.time_row + first : nullptr, rows(made.input.soft_tokens),
                          rows(made.input.logit_bias)};
        if (conditioned) {
            // What the network makes of these rows without help is what it is shown the second time; nothing flows back
            // through it.
            auto answer = denoiser_->forward(input, n, length);
            if (!answer) return tl::unexpected(answer.error());
            const Matrix& soft_tokens = input.soft_tokens;
            const int column = config_.vocab_size + config_.time_rows;
            training_->softmax({soft_tokens.data + column, soft_tokens.rows, config_.vocab_size, soft_tokens.stride},
                               *answer);
        }
        auto logits = denoiser_->forward(input, n, length, {noise, {}, nullptr});
        if (!logits) return tl::unexpected(logits.error());
        if (made.target_rows.rows > 0) {
            training_->squared_error(*logits, losses + at, *logits, rows(made.target_rows), made.weights + at);
        } else if (made.squared) {
            training_->brier(*logits, losses + at, *logits, made.targets + at, made.weights + at);
        } else {
            training_->cross_entropy(*logits, losses + at, *logits, made.targets + at, made.weights + at,
                                     process_.mask_id);
        }
        denoiser_->backward(*training_, gradients, *logits);
    }
    training_->sum(&now()->loss, losses, static_cast<std::size_t>(batch) * length);
    training_->sum_of_squares(&now()->sum_of_squares, gradients, count_);
    training_->clip(&now()->scale, &now()->sum_of_squares, &now()->loss, recipe_.clip);
    update();
    return denoiser_->repack();
}

Trainer::Numbers Trainer::numbers(int step) const {
    const auto factor = static_cast<float>(schedule(recipe_, step));
    Numbers numbers;
    numbers.step = static_cast<std::uint32_t>(step);
    numbers.adamw = {recipe_.lr * factor, recipe_.beta1, recipe_.beta2};
    numbers.adamw.correction1 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe_.beta1), step + 1));
    numbers.adamw.correction2 = static_cast<float>(1.0 - std::pow(static_cast<double>(recipe_.beta2), step + 1));
    numbers.decaying = numbers.adamw;
    numbers.decaying.weight_decay = recipe_.weight_decay;
    numbers.muon = {recipe_.muon_lr * factor, 0.95f, recipe_.weight_decay};
    // The average forgets its random beginning faster than its final decay would.
    numbers.ema = std::min(recipe_.ema, (1.f + static_cast<float>(step)) / (10.f + static_cast<float>(step)));
    return numbers;
}

void Trainer::update() {
    float *parameters = parameters_.as<float>(), *moment1 = moment1_.as<float>(), *moment2 = moment2_.as<float>();
    const float *gradients = gradients_.as<float>(), *scale = &now()->scale;
    const std::size_t matrices = embedding_count(config_);  // where the blocks begin
    const std::size_t head = count_ - static_cast<std::size_t>(config_.vocab_size) * config_.d_model;
    const auto adamw = [&](std::size_t first, std::size_t end, const AdamW* options) {
        training_->adamw(parameters + first, moment1 + first, moment2 + first, gradients + first, scale, end - first,
                         options);
    };
    adamw(0, matrices, &now()->adamw);
    adamw(head, count_, &now()->adamw);
    if (recipe_.muon_lr > 0) {
        // The matrices of one name, of all blocks at once.
        const std::size_t block = (head - matrices) / config_.n_layer;
        for_each_tensor(config_, [&](const TensorSpec& tensor) {
            if (tensor.offset < matrices || tensor.offset >= matrices + block) return;
            const std::size_t at = tensor.offset;
            training_->muon(parameters + at, moment1 + at, gradients + at, scale, tensor.rows, tensor.cols,
                            config_.n_layer, block, &now()->muon);
        });
    } else {
        adamw(matrices, head, &now()->decaying);
    }
    training_->ema(average_.as<float>(), parameters, scale, count_, &now()->ema);
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
        if (host->size() != count_)
            return fail("The saved state does not fit this model; resume with the sizes it was made with.");
        ops_->upload(device->as<void>(), host->data(), count_ * sizeof(float));
    }
    losses_by_noise_ = state.losses;
    return denoiser_->repack();
}

}  // namespace folio
