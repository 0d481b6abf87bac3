#include <algorithm>
#include <cstring>

#include "core/base/elementary.h"
#include "core/model/denoiser.h"
#include "core/model/parameters.h"

namespace folio {

namespace {

/// [positions, head_dim] = cos | sin of position / base^(2 i / head_dim) (Su et al. 2021, base 10000).
std::vector<float> rotation_table(int positions, int head_dim) {
    const int half = head_dim / 2;
    std::vector<float> table(static_cast<std::size_t>(positions) * head_dim);
    for (int position = 0; position < positions; ++position)
        for (int i = 0; i < half; ++i) {
            const double angle = position * elementary::exp(elementary::log(10000.0) * (-2.0 * i / head_dim));
            double sine, cosine;
            elementary::sin_cos(angle, sine, cosine);
            float* row = table.data() + static_cast<std::size_t>(position) * head_dim;
            row[i] = static_cast<float>(cosine);
            row[half + i] = static_cast<float>(sine);
        }
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

    const std::vector<float> table = rotation_table(config.max_length(), config.head_dim());
    auto rope = ops.allocate(table.size() * sizeof(float));
    if (!rope) return tl::unexpected(rope.error());
    denoiser.rope_ = std::move(*rope);
    ops.upload(denoiser.rope_.as<void>(), table.data(), table.size() * sizeof(float));

    if (training) {
        denoiser.parameters_ = parameters.f32;
    } else {
        const std::size_t count = embedding_count(config);
        auto embeddings = ops.allocate(count * sizeof(float));
        if (!embeddings) return tl::unexpected(embeddings.error());
        denoiser.embeddings_ = std::move(*embeddings);
        ops.upload(denoiser.embeddings_.as<void>(), parameters.f32, count * sizeof(float));
    }
    if (auto packed = denoiser.pack(parameters); !packed) return tl::unexpected(packed.error());
    if (auto done = denoiser.tabulate_first_block(); !done) return tl::unexpected(done.error());
    return denoiser;
}

Result<void> Denoiser::pack(const Parameters& parameters) {
    // The layers in the order of the list of tensors; q, k and v are one weight, begun at q.
    std::vector<Layer*> layers;
    for (Block& block : blocks_) {
        layers.insert(layers.end(), {&block.qkv, nullptr, nullptr, &block.attention_out, &block.up, &block.down});
    }
    layers.push_back(&head_);
    Result<void> status;
    std::size_t n = 0, channel = 0;
    const std::size_t embeddings = embedding_count(config_);
    for_each_tensor(config_, [&](const TensorSpec& tensor) {
        if (!status || tensor.kind == TensorKind::embedding) return;
        Layer* layer = layers[n++];
        const std::size_t first = channel;
        channel += static_cast<std::size_t>(tensor.rows);
        if (!layer) return;
        const bool first_of_three = tensor.kind == TensorKind::matrix && !layers[n];
        layer->offset = tensor.offset;
        WeightValues values;
        if (parameters.s8) values = {nullptr, parameters.s8 + (tensor.offset - embeddings), parameters.scale + first};
        else values.f32 = parameters.f32 + tensor.offset;
        status = ops_->pack(layer->weight, values, (first_of_three ? 3 : 1) * tensor.rows, tensor.cols, training_);
    });
    return status;
}

Result<void> Denoiser::tabulate_first_block() {
    const int ids = config_.vocab_size, d = config_.d_model;
    if (training_ || config_.time_rows > 0 || ids > config_.max_length()) return {};
    const std::size_t count = static_cast<std::size_t>(ids) * d;
    auto table = ops_->allocate(4 * count * sizeof(float));
    if (!table) return tl::unexpected(table.error());
    first_ = std::move(*table);
    first_input_ = {first_.as<float>(), ids, d};
    first_qkv_ = {first_.as<float>() + count, ids, 3 * d};
    if (auto room = activations_.reserve(*ops_, config_, ids, false); !room) return room;
    const Matrix normed(activations_.normed.data, ids, d);
    ops_->norm(first_input_, {embeddings_.as<float>(), ids, d}, config_.norm_eps);
    ops_->norm(normed, first_input_, config_.norm_eps);
    ops_->linear(first_qkv_, normed, blocks_[0].qkv.weight, {});
    return ops_->finish();
}

Result<void> Denoiser::repack() { return pack(parameters_); }

Result<void> Denoiser::reserve(int batch, int length) {
    return activations_.reserve(*ops_, config_, batch * length, training_);
}

Heads Denoiser::heads(int length) const { return {length, config_.n_head, config_.head_dim(), config_.causal, config_.max_length()}; }

Dropout Denoiser::dropout(int layer, int branch) const {
    return {noise_.dropout, noise_.seed, noise_.step, static_cast<std::uint32_t>(Purpose::dropout) + 2 * layer + branch,
            noise_.first_row};
}

Result<Matrix> Denoiser::forward(const int* ids, const int* time_row, int batch, int length, const ForwardNoise& noise,
                                 Rows wanted, Past* past) {
    const int known = past ? past->length : 0;
    if (length < 1 || known + length > config_.max_length()) {
        return fail("A pass of " + std::to_string(known + length) + " places is outside this model's range of 1 to " +
                    std::to_string(config_.max_length()) + "; choose another length.");
    }
    if (auto room = reserve(batch, length); !room) return tl::unexpected(room.error());
    ids_ = ids;
    time_row_ = time_row;
    length_ = length;
    noise_ = noise;

    Activations& a = activations_;
    a.resize(batch * length);
    const float eps = config_.norm_eps;
    const int d = config_.d_model;
    const float* time_table =
        config_.time_rows > 0 ? embedding() + static_cast<std::size_t>(config_.vocab_size) * d : nullptr;

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
    const bool tabulated = first_qkv_.rows > 0;
    if (tabulated) {
        ops_->embed(a.blocks[0].input, ids, first_input_.data, nullptr, nullptr, length);
        ops_->embed(new_qkv(0), ids, first_qkv_.data, nullptr, nullptr, length);
    } else {
        ops_->embed(a.embedded, ids, embedding(), time_table, time_row, length);
        ops_->norm(a.blocks[0].input, a.embedded, eps);
    }
    for (int layer = 0; layer < config_.n_layer; ++layer) {
        const Block& weights = blocks_[layer];
        Activations::Block block = a.blocks[layer];
        const Matrix& next = layer + 1 < config_.n_layer ? a.blocks[layer + 1].input : a.output;

        if (layer > 0 || !tabulated) {
            ops_->norm(a.normed, block.input, eps);
            ops_->linear(new_qkv(layer), a.normed, weights.qkv.weight, {});
        }
        const float* rope = rope_.as<float>() + static_cast<std::ptrdiff_t>(known) * config_.head_dim();
        ops_->rope_norm(new_qkv(layer), rope, block.inverse_rms, heads(length), eps);
        ops_->attention(block.attended, all_qkv(layer), block.log_sum_exp, heads(known + length));
        if (wanted.count > 0 && layer + 1 == config_.n_layer) {
            // Nobody reads the other rows any more. An embedding is a choice of rows; the block's qkv is free by now.
            const Matrix attended(block.qkv.data, wanted.count, d), input(attended.row(wanted.count), wanted.count, d);
            ops_->embed(attended, wanted.row, block.attended.data, nullptr, nullptr, length);
            ops_->embed(input, wanted.row, block.input.data, nullptr, nullptr, length);
            a.resize(wanted.count);
            block.attended = attended;
            block.input = input;
            block.middle.rows = block.hidden.rows = wanted.count;
        }
        ops_->linear(block.middle, block.attended, weights.attention_out.weight,
                     {Epilogue::Kind::residual, block.input, dropout(layer, 0)});

        ops_->norm(a.normed, block.middle, eps);
        ops_->linear(block.hidden, a.normed, weights.up.weight, {Epilogue::Kind::relu2, {}, {}});
        ops_->linear(next, block.hidden, weights.down.weight, {Epilogue::Kind::residual, block.middle, dropout(layer, 1)});
    }
    ops_->norm(a.normed, a.output, eps);
    ops_->linear(a.logits, a.normed, head_.weight, {});
    return a.logits;
}

Result<void> Denoiser::predict(std::span<const int> ids, std::span<const int> time_row, int batch, int length,
                               std::span<float> logits, std::span<const int> wanted) {
    const std::size_t bytes = (ids.size() + time_row.size() + wanted.size()) * sizeof(int);
    if (input_.bytes() < bytes) {
        auto input = ops_->allocate(bytes);
        if (!input) return tl::unexpected(input.error());
        input_ = std::move(*input);
    }
    int* device = input_.as<int>();
    ops_->upload(device, ids.data(), ids.size_bytes());
    ops_->upload(device + ids.size(), time_row.data(), time_row.size_bytes());
    int* rows = device + ids.size() + time_row.size();
    ops_->upload(rows, wanted.data(), wanted.size_bytes());
    auto out = forward(device, device + ids.size(), batch, length, {}, {rows, static_cast<int>(wanted.size())});
    if (!out) return tl::unexpected(out.error());
    if (auto done = ops_->finish(); !done) return done;
    if (wanted.empty()) {
        ops_->download(logits.data(), out->data, logits.size_bytes());
        return {};
    }
    const auto vocab_size = static_cast<std::size_t>(config_.vocab_size);
    for (std::size_t i = 0; i < wanted.size(); ++i)
        ops_->download(&logits[static_cast<std::size_t>(wanted[i]) * vocab_size], out->row(static_cast<int>(i)), vocab_size * sizeof(float));
    return {};
}

Result<void> Denoiser::read(std::span<const int> ids, int known, std::span<float> logits) {
    const int length = static_cast<int>(ids.size());
    if (length > past_.capacity) {
        const int capacity = std::max(length, config_.seq_len);
        auto storage = ops_->allocate(static_cast<std::size_t>(config_.n_layer) * capacity * 3 * config_.d_model * sizeof(float));
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
    if (input_.bytes() < input.size() * sizeof(int)) {
        auto storage = ops_->allocate(input.size() * sizeof(int));
        if (!storage) return tl::unexpected(storage.error());
        input_ = std::move(*storage);
    }
    ops_->upload(input_.as<int>(), input.data(), input.size() * sizeof(int));
    auto out = forward(input_.as<int>(), nullptr, 1, count, {}, {input_.as<int>() + count, rows < count ? rows : 0}, &past_);
    if (!out) return tl::unexpected(out.error());
    if (auto done = ops_->finish(); !done) return done;
    ops_->download(logits.data(), out->data, logits.size_bytes());
    return {};
}

}  // namespace folio
