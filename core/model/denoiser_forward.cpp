#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "core/base/elementary.h"
#include "core/model/denoiser.h"
#include "core/model/parameters.h"

namespace folio {

namespace {

/// Calls f(position, i, sine, cosine) of the angle position / 10000^(2 i / width), i < width / 2.
template <class F>
void for_each_angle(int positions, int width, F&& f) {
    for (int position = 0; position < positions; ++position)
        for (int i = 0; i < width / 2; ++i) {
            const double angle = position * elementary::exp(elementary::log(10000.0) * (-2.0 * i / width));
            double sine, cosine;
            elementary::sin_cos(angle, sine, cosine);
            f(static_cast<std::size_t>(position), i, static_cast<float>(sine), static_cast<float>(cosine));
        }
}

/// [positions, head_dim] = cos | sin (Su et al. 2021); turned by nothing at all where heads are not to be rotated.
std::vector<float> rotation_table(int positions, int head_dim, bool rotated) {
    std::vector<float> table(static_cast<std::size_t>(positions) * head_dim);
    for_each_angle(positions, head_dim, [&](std::size_t position, int i, float sine, float cosine) {
        float* row = table.data() + position * head_dim;
        row[i] = rotated ? cosine : 1.f;
        row[head_dim / 2 + i] = rotated ? sine : 0.f;
    });
    return table;
}

/// [positions, d_model] = sin, cos, sin, cos ... (Vaswani et al. 2017).
std::vector<float> position_table(int positions, int d_model) {
    std::vector<float> table(static_cast<std::size_t>(positions) * d_model);
    for_each_angle(positions, d_model, [&](std::size_t position, int i, float sine, float cosine) {
        table[position * d_model + 2 * i] = sine;
        table[position * d_model + 2 * i + 1] = cosine;
    });
    return table;
}

}  // namespace

Result<Denoiser> Denoiser::create(Ops& ops, const ModelConfig& config, const Parameters& parameters, bool training) {
    if (auto valid = validate(config); !valid) return tl::unexpected(valid.error());
    Denoiser denoiser;
    denoiser.ops_ = &ops;
    denoiser.config_ = config;
    denoiser.training_ = training;
    denoiser.blocks_.resize(static_cast<std::size_t>(config.n_layer));

    const bool article = config.trunk == Trunk::article;
    const auto keep = [&](Storage& storage, const float* values, std::size_t count) -> Result<void> {
        auto fresh = ops.allocate(count * sizeof(float));
        if (!fresh) return tl::unexpected(fresh.error());
        storage = std::move(*fresh);
        ops.upload(storage.as<void>(), values, count * sizeof(float));
        return {};
    };
    const std::vector<float> rope = rotation_table(config.max_length(), config.head_dim(), !article);
    if (auto kept = keep(denoiser.rope_, rope.data(), rope.size()); !kept) return tl::unexpected(kept.error());
    if (article) {
        const std::vector<float> positions = position_table(config.max_length(), config.d_model);
        if (auto kept = keep(denoiser.positions_, positions.data(), positions.size()); !kept)
            return tl::unexpected(kept.error());
    }
    if (training) {
        denoiser.parameters_ = parameters.f32;
    } else if (auto kept = keep(denoiser.embeddings_, parameters.f32, embedding_count(config)); !kept) {
        return tl::unexpected(kept.error());
    }
    if (auto packed = denoiser.pack(parameters); !packed) return tl::unexpected(packed.error());
    if (auto done = denoiser.tabulate_first_block(); !done) return tl::unexpected(done.error());
    return denoiser;
}

Result<void> Denoiser::pack(const Parameters& parameters) {
    // The layers in the order of the list of tensors; q, k and v are one weight, begun at q.
    std::vector<Layer*> layers;
    for (Block& block : blocks_) {
        if (config_.trunk == Trunk::article) layers.push_back(&block.input);
        layers.insert(layers.end(), {&block.qkv, nullptr, nullptr, &block.attention_out, &block.up, &block.down});
    }
    layers.push_back(&head_);
    Result<void> status;
    std::size_t n = 0, channel = 0;
    const std::size_t embeddings = embedding_count(config_);
    for_each_tensor(config_, [&](const TensorSpec& tensor) {
        if (!status || !is_multiplied(tensor.kind)) return;
        Layer* layer = layers[n++];
        const std::size_t first = channel;
        channel += static_cast<std::size_t>(tensor.rows);
        if (!layer) return;
        const bool first_of_three = n < layers.size() && !layers[n];
        layer->offset = tensor.offset;
        WeightSource values;
        if (parameters.s8)
            values = {nullptr, parameters.s8 + (tensor.offset - embeddings), parameters.scale + first, false};
        else
            values.f32 = parameters.f32 + tensor.offset;
        // The stream's outlying channels cannot be turned away where filters read it (weights/quantise.h), and the
        // head, whose product is small, is the layer that they hurt.
        values.wide_input = layer == &head_ && config_.conv_radius > 0;
        status = ops_->pack(layer->weight, values, (first_of_three ? 3 : 1) * tensor.rows, tensor.cols, training_);
    });
    return status;
}

Result<void> Denoiser::tabulate_first_block() {
    const int ids = config_.vocab_size, d = config_.d_model;
    if (training_ || config_.mixture || config_.time_rows > 0 || ids > config_.max_length()) return {};
    const std::size_t count = static_cast<std::size_t>(ids) * d;
    auto table = ops_->allocate(4 * count * sizeof(float));
    if (!table) return tl::unexpected(table.error());
    first_ = std::move(*table);
    first_input_ = {first_.as<float>(), ids, d};
    first_qkv_ = {first_.as<float>() + count, ids, 3 * d};
    if (auto room = activations_.reserve(*ops_, config_, ids, false); !room) return room;
    const Matrix normed(activations_.normed.data, ids, d);
    ops_->rms_norm(first_input_, {embeddings_.as<float>(), ids, d}, config_.norm_eps);
    ops_->rms_norm(normed, first_input_, config_.norm_eps);
    ops_->linear(first_qkv_, normed, blocks_[0].qkv.weight, {});
    return ops_->synchronize();
}

Result<void> Denoiser::repack() { return pack(parameters_); }

Result<void> Denoiser::reserve(int batch, int length) {
    return activations_.reserve(*ops_, config_, batch * length, training_);
}

AttentionShape Denoiser::heads(int length) const {
    return {length, config_.n_head, config_.head_dim(), config_.causal, config_.max_length()};
}

LocalConv Denoiser::convolution(int layer, int length) const {
    const std::size_t count = static_cast<std::size_t>(config_.conv_taps()) * static_cast<std::size_t>(config_.d_model);
    return {embedding() + filter_offset(config_) + static_cast<std::size_t>(layer) * count, config_.conv_radius,
            config_.causal, length, nullptr};
}

Dropout Denoiser::dropout(int layer, int branch) const {
    return {noise_.dropout, noise_.seed, noise_.step, static_cast<std::uint32_t>(Purpose::dropout) + 2 * layer + branch,
            noise_.first_row};
}

Matrix Denoiser::embedded_part(Matrix mixture) const {
    return {mixture.data, mixture.rows, config_.trunk == Trunk::article ? config_.vocab_size : mixture.cols,
            mixture.stride};
}

Result<Matrix> Denoiser::forward(const Input& input, int batch, int length, const ForwardNoise& noise,
                                 const OutputRows& chosen, Past* past) {
    const int known = past ? past->length : 0;
    if (length < 1 || known + length > config_.max_length()) {
        return fail("A pass of " + std::to_string(known + length) + " places is outside this model's range of 1 to " +
                    std::to_string(config_.max_length()) + "; choose another length.");
    }
    if (auto room = reserve(batch, length); !room) return tl::unexpected(room.error());
    looked_at_ = input;
    length_ = length;
    noise_ = noise;

    Activations& a = activations_;
    a.resize(batch * length);
    const float eps = config_.norm_eps;
    const int d = config_.d_model;
    const bool article = config_.trunk == Trunk::article;
    const auto joined_stream = [&](int layer) {
        return Matrix(a.blocks[layer].joined.data, batch * length, d, d + config_.time_rows);
    };

    // The whole sequence's q|k|v, and of it the rows of this pass.
    const auto all_qkv = [&](int layer) {
        if (!past) return a.blocks[layer].qkv;
        const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(layer) * past->capacity * 3 * d;
        return Matrix(past->storage.as<float>() + first, known + length, 3 * d);
    };
    const auto new_qkv = [&](int layer) {
        const Matrix all = all_qkv(layer);
        return Matrix(all.row(known), all.rows - known, all.cols);
    };
    // Likewise the convolution's input.
    const auto all_normed = [&](int layer) {
        if (!past) return a.normed;
        const std::ptrdiff_t first = (static_cast<std::ptrdiff_t>(config_.n_layer) * 3 + layer) * past->capacity * d;
        return Matrix(past->storage.as<float>() + first, known + length, d);
    };
    const bool tabulated = first_qkv_.rows > 0, convolved = config_.conv_radius > 0;
    if (tabulated) {
        ops_->embed(a.blocks[0].input, input.ids, first_input_.data, nullptr, nullptr, length);
        ops_->embed(new_qkv(0), input.ids, first_qkv_.data, nullptr, nullptr, length);
    } else {
        if (config_.mixture) {
            ops_->embed_soft(a.embedded, embedded_part(input.mixture), embedding(), positions_.as<float>(), length);
        } else {
            const float* time_table =
                config_.time_rows > 0 ? embedding() + static_cast<std::size_t>(config_.vocab_size) * d : nullptr;
            ops_->embed(a.embedded, input.ids, embedding(), time_table, input.time_row, length);
        }
        ops_->rms_norm(article ? joined_stream(0) : a.blocks[0].input, a.embedded, eps);
    }
    for (int layer = 0; layer < config_.n_layer; ++layer) {
        const Block& weights = blocks_[layer];
        Activations::Block block = a.blocks[layer];
        if (article) {
            const int across = config_.n_layer - 1 - layer;
            const Epilogue skip =
                across < layer ? Epilogue{Epilogue::Kind::residual, a.blocks[across].input, {}} : Epilogue{};
            const Matrix time(input.mixture.data + config_.vocab_size, input.mixture.rows, config_.time_rows,
                              input.mixture.stride);
            ops_->add({block.joined.data + d, time.rows, time.cols, block.joined.stride}, time, {});
            ops_->linear(block.input, block.joined, weights.input.weight, skip);
        }
        if (layer > 0 || !tabulated) {
            ops_->rms_norm(a.normed, block.input, eps);
            ops_->linear(new_qkv(layer), a.normed, weights.qkv.weight, {});
        }
        const float* rope = rope_.as<float>() + static_cast<std::ptrdiff_t>(known) * config_.head_dim();
        ops_->rope_qk_norm(new_qkv(layer), rope, block.inverse_rms, heads(length), eps);
        const bool last = layer + 1 == config_.n_layer, projects_some = last && chosen.projected.count > 0;
        const Matrix qkv = all_qkv(layer);
        AttentionShape attending = heads(known + length);
        if (projects_some) {
            // The last block computes the chosen rows alone; where a sequence is read on, these are its end.
            a.resize(chosen.projected.count);
            block.attended.rows = block.middle.rows = block.hidden.rows = chosen.projected.count;
            attending.queries = past ? nullptr : chosen.projected.row;
        }
        ops_->attention(block.attended, qkv, block.log_sum_exp, attending);
        if (projects_some) {
            // An embedding is a choice of rows; the block's qkv is free by now.
            const Matrix input(block.qkv.data, chosen.projected.count, d);
            ops_->embed(input, chosen.projected.row, block.input.data, nullptr, nullptr, length);
            block.input = input;
        }
        ops_->linear(block.middle, block.attended, weights.attention_out.weight,
                     {Epilogue::Kind::residual, block.input, dropout(layer, 0)});

        const Matrix normed = convolved ? all_normed(layer) : a.normed;
        ops_->rms_norm({normed.row(normed.rows - block.middle.rows), block.middle.rows, d}, block.middle, eps);
        if (last && chosen.output.count > 0) {
            const Matrix middle(block.qkv.data + static_cast<std::ptrdiff_t>(block.middle.rows) * d,
                                chosen.output.count, d);
            ops_->embed(middle, chosen.output.row, block.middle.data, nullptr, nullptr, length);
            a.resize(chosen.output.count);
            block.middle = middle;
            block.hidden.rows = chosen.output.count;
        }
        Matrix mlp_input = normed;
        if (convolved) {
            LocalConv conv = convolution(layer, known + length);
            if (last) conv.in_rows = chosen.projected.row;
            mlp_input = a.mixed;
            // Of a sequence that is decoded step by step, the output rows are the last ones.
            ops_->local_conv(mlp_input, normed, conv, last && !past ? chosen.output.row : nullptr);
        }
        ops_->linear(block.hidden, mlp_input, weights.up.weight, {Epilogue::Kind::relu2, {}, {}});
        const Matrix next = last ? a.output : article ? joined_stream(layer + 1) : a.blocks[layer + 1].input;
        ops_->linear(next, block.hidden, weights.down.weight,
                     {Epilogue::Kind::residual, block.middle, dropout(layer, 1)});
    }
    ops_->rms_norm(a.normed, a.output, eps);
    const bool added = input.prior.rows > 0;
    ops_->linear(a.logits, a.normed, head_.weight,
                 added ? Epilogue{Epilogue::Kind::residual, input.prior, {}} : Epilogue{});
    return a.logits;
}

Result<int*> Denoiser::input_room(std::size_t bytes) {
    if (input_.bytes() < bytes) {
        auto input = ops_->allocate(bytes);
        if (!input) return tl::unexpected(input.error());
        input_ = std::move(*input);
    }
    return input_.as<int>();
}

Result<void> Denoiser::predict_mixture(std::span<const float> mixture, std::span<const float> prior, int batch,
                                       int length, std::span<float> logits) {
    const auto room = input_room(mixture.size_bytes() + prior.size_bytes());
    if (!room) return tl::unexpected(room.error());
    auto* device = reinterpret_cast<float*>(*room);
    ops_->upload(device, mixture.data(), mixture.size_bytes());
    ops_->upload(device + mixture.size(), prior.data(), prior.size_bytes());
    Input input;
    input.mixture = {device, batch * length, config_.input_width()};
    if (!prior.empty()) input.prior = {device + mixture.size(), batch * length, config_.vocab_size};
    auto out = forward(input, batch, length);
    if (!out) return tl::unexpected(out.error());
    ops_->download(logits.data(), out->data, logits.size_bytes());
    return ops_->synchronize();
}

namespace {

/// Rows that a convolution reads for `output_rows`, which ascend, and the numbers of these among them.
struct Neighbourhood {
    std::vector<int> rows, output;

    Neighbourhood(std::span<const int> output_rows, const LocalConv& conv) {
        assert(std::is_sorted(output_rows.begin(), output_rows.end()));
        for (const int row : output_rows) {
            const auto [first_k, last_k] = conv.reads(row % conv.length);
            int next = row + first_k;
            if (!rows.empty()) next = std::max(next, rows.back() + 1);
            for (; next <= row + last_k; ++next) rows.push_back(next);
            output.push_back(static_cast<int>(rows.size()) - 1 - (rows.back() - row));
        }
    }
};

}  // namespace

Result<void> Denoiser::predict(std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                               std::span<float> logits, std::span<const int> wanted) {
    const Neighbourhood read(config_.conv_radius > 0 ? wanted : std::span<const int>(), convolution(0, length));
    const std::span<const int> projected = config_.conv_radius > 0 ? read.rows : wanted;
    const auto room = input_room((ids.size() + time_row.size() + projected.size() + read.output.size()) * sizeof(int));
    if (!room) return tl::unexpected(room.error());
    int* next = *room;
    const auto upload = [&](std::span<const int> values) {
        ops_->upload(next, values.data(), values.size_bytes());
        return std::exchange(next, next + values.size());
    };
    const Input input{upload(ids), upload(time_row), {}, {}};
    OutputRows chosen;
    chosen.projected = {upload(projected), static_cast<int>(projected.size())};
    chosen.output = {upload(read.output), static_cast<int>(read.output.size())};
    if (projected.empty()) chosen = {};
    auto out = forward(input, batch, length, {}, chosen, nullptr);
    if (!out) return tl::unexpected(out.error());
    const auto vocab_size = static_cast<std::size_t>(config_.vocab_size);
    if (!wanted.empty()) wanted_logits_.resize(wanted.size() * vocab_size);
    const std::span<float> answers = wanted.empty() ? logits : wanted_logits_;
    ops_->download(answers.data(), out->data, answers.size_bytes());
    if (auto done = ops_->synchronize(); !done) return done;
    for (std::size_t i = 0; i < wanted.size(); ++i)
        std::copy_n(&answers[i * vocab_size], vocab_size, &logits[static_cast<std::size_t>(wanted[i]) * vocab_size]);
    return {};
}

Result<void> Denoiser::read(std::span<const int> ids, int known, std::span<float> logits) {
    const int length = static_cast<int>(ids.size());
    if (length > past_.capacity) {
        const int capacity = std::max(length, config_.seq_len);
        auto storage = ops_->allocate(static_cast<std::size_t>(config_.n_layer) * capacity *
                                      (config_.conv_radius > 0 ? 4 : 3) * config_.d_model * sizeof(float));
        if (!storage) return tl::unexpected(storage.error());
        past_.storage = std::move(*storage);
        past_.capacity = capacity;
        known = 0;
    }
    past_.length = known;
    const int count = length - known, rows = static_cast<int>(logits.size()) / config_.vocab_size;
    std::vector<int> input(ids.begin() + known, ids.end());
    if (rows < count)
        for (int row = count - rows; row < count; ++row) input.push_back(row);
    const auto room = input_room(input.size() * sizeof(int));
    if (!room) return tl::unexpected(room.error());
    ops_->upload(*room, input.data(), input.size() * sizeof(int));
    OutputRows chosen;
    // The convolution's input of every position is kept, so that all are projected.
    if (rows < count) (config_.conv_radius > 0 ? chosen.output : chosen.projected) = {*room + count, rows};
    auto out = forward({*room, nullptr, {}, {}}, 1, count, {}, chosen, &past_);
    if (!out) return tl::unexpected(out.error());
    ops_->download(logits.data(), out->data, logits.size_bytes());
    return ops_->synchronize();
}

}  // namespace folio
