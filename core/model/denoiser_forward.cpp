#include <utility>

#include "core/model/denoiser.h"
#include "core/model/parameters.h"
#include "core/model/position_tables.h"

namespace folio {

Result<Denoiser> Denoiser::create(Ops& ops, const ModelConfig& config, const Parameters& parameters, bool training) {
    if (auto valid = validate(config); !valid) return tl::unexpected(valid.error());
    Denoiser denoiser;
    denoiser.ops_ = &ops;
    denoiser.config_ = config;
    denoiser.for_training_ = training;
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
    if (auto done = denoiser.precompute_first_block(); !done) return tl::unexpected(done.error());
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
        // With a convolution the stream is not rotated before int8 (weights/quantise.h), so its outlier channels stay;
        // the head is the layer whose output they change, so that its input keeps 16 bits.
        values.wide_input = layer == &head_ && config_.conv_radius > 0;
        status = ops_->pack(layer->weight, values, (first_of_three ? 3 : 1) * tensor.rows, tensor.cols, for_training_);
    });
    return status;
}

Result<void> Denoiser::precompute_first_block() {
    const int ids = config_.vocab_size, d = config_.d_model;
    if (for_training_ || config_.soft_tokens || config_.time_rows > 0 || ids > config_.max_length()) return {};
    const std::size_t count = static_cast<std::size_t>(ids) * d;
    auto table = ops_->allocate(4 * count * sizeof(float));
    if (!table) return tl::unexpected(table.error());
    first_block_cache_ = std::move(*table);
    first_input_ = {first_block_cache_.as<float>(), ids, d};
    first_qkv_ = {first_block_cache_.as<float>() + count, ids, 3 * d};
    if (auto room = activations_.reserve(*ops_, config_, ids, false); !room) return room;
    const Matrix normed(activations_.normed.data, ids, d);
    ops_->rms_norm(first_input_, {embeddings_.as<float>(), ids, d}, config_.norm_eps);
    ops_->rms_norm(normed, first_input_, config_.norm_eps);
    ops_->linear(first_qkv_, normed, blocks_[0].qkv.weight, {});
    return ops_->synchronize();
}

Result<void> Denoiser::repack() { return pack(parameters_); }

Result<void> Denoiser::reserve(int batch, int length) {
    return activations_.reserve(*ops_, config_, batch * length, for_training_);
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
    return {dropout_.dropout, dropout_.seed, dropout_.step,
            static_cast<std::uint32_t>(Purpose::dropout) + 2 * layer + branch, dropout_.first_row};
}

Matrix Denoiser::embedding_weights(Matrix soft_tokens) const {
    return {soft_tokens.data, soft_tokens.rows, config_.trunk == Trunk::article ? config_.vocab_size : soft_tokens.cols,
            soft_tokens.stride};
}

Result<Matrix> Denoiser::forward(const Input& input, int batch, int length, const PassOptions& options) {
    const Pass pass{input, length, options.kv_cache ? options.kv_cache->n_cached : 0, options.rows, options.kv_cache};
    if (length < 1 || pass.end() > config_.max_length()) {
        return fail("A pass of " + std::to_string(pass.end()) + " positions is outside this model's range of 1 to " +
                    std::to_string(config_.max_length()) + "; choose another length.");
    }
    if (auto room = reserve(batch, length); !room) return tl::unexpected(room.error());
    last_input_ = input;
    length_ = length;
    dropout_ = options.dropout;
    Activations& a = activations_;
    a.resize(batch * length);

    embed(pass);
    for (int layer = 0; layer < config_.n_layer; ++layer) block(pass, layer);
    ops_->rms_norm(a.normed, a.output, config_.norm_eps);
    const bool biased = input.logit_bias.rows > 0;
    ops_->linear(a.logits, a.normed, head_.weight,
                 biased ? Epilogue{Epilogue::Kind::residual, input.logit_bias, {}} : Epilogue{});
    return a.logits;
}

void Denoiser::block(const Pass& pass, int layer) {
    const Block& weights = blocks_[layer];
    Activations::Block x = activations_.blocks[layer];
    if (config_.trunk == Trunk::article) join_time_and_skip(pass, layer);
    project_qkv(pass, layer);
    const float* rope = rope_.as<float>() + static_cast<std::ptrdiff_t>(pass.n_cached) * config_.head_dim();
    ops_->rope_qk_norm(pass_qkv(pass, layer), rope, x.inverse_rms, heads(pass.length), config_.norm_eps);
    attend(pass, layer, x);
    ops_->linear(x.mid_residual, x.attn_out, weights.attention_out.weight,
                 {Epilogue::Kind::residual, x.input, dropout(layer, 0)});
    const Matrix normed = mlp_input(pass, layer, x);
    ops_->linear(x.mlp_hidden, normed, weights.up.weight, {Epilogue::Kind::relu2, {}, {}});
    ops_->linear(next_stream(layer), x.mlp_hidden, weights.down.weight,
                 {Epilogue::Kind::residual, x.mid_residual, dropout(layer, 1)});
}

void Denoiser::embed(const Pass& pass) {
    Activations& a = activations_;
    const Input& input = pass.input;
    if (first_qkv_.rows > 0) {  // precomputed
        ops_->embed(a.blocks[0].input, input.ids, first_input_.data, nullptr, nullptr, pass.length);
        ops_->embed(pass_qkv(pass, 0), input.ids, first_qkv_.data, nullptr, nullptr, pass.length);
        return;
    }
    if (config_.soft_tokens) {
        ops_->embed_soft(a.embedded, embedding_weights(input.soft_tokens), embedding(), positions_.as<float>(),
                         pass.length);
    } else {
        const std::ptrdiff_t ids = static_cast<std::ptrdiff_t>(config_.vocab_size) * config_.d_model;
        const float* time_table = config_.time_rows > 0 ? embedding() + ids : nullptr;
        ops_->embed(a.embedded, input.ids, embedding(), time_table, input.time_row, pass.length);
    }
    ops_->rms_norm(config_.trunk == Trunk::article ? stream_columns(0) : a.blocks[0].input, a.embedded,
                   config_.norm_eps);
}

void Denoiser::join_time_and_skip(const Pass& pass, int layer) {
    const Activations::Block& x = activations_.blocks[layer];
    const Matrix& soft_tokens = pass.input.soft_tokens;
    const Matrix time(soft_tokens.data + config_.vocab_size, soft_tokens.rows, config_.time_rows, soft_tokens.stride);
    ops_->add({x.block_input.data + config_.d_model, time.rows, time.cols, x.block_input.stride}, time, {});
    const int across = config_.n_layer - 1 - layer;
    const Epilogue skip =
        across < layer ? Epilogue{Epilogue::Kind::residual, activations_.blocks[across].input, {}} : Epilogue{};
    ops_->linear(x.input, x.block_input, blocks_[layer].input.weight, skip);
}

Matrix Denoiser::sequence_qkv(const Pass& pass, int layer) const {
    return pass.kv_cache ? pass.kv_cache->qkv(layer, pass.end()) : activations_.blocks[layer].qkv;
}

Matrix Denoiser::pass_qkv(const Pass& pass, int layer) const {
    const Matrix all = sequence_qkv(pass, layer);
    return {all.row(pass.n_cached), all.rows - pass.n_cached, all.cols};
}

void Denoiser::project_qkv(const Pass& pass, int layer) {
    if (layer == 0 && first_qkv_.rows > 0) return;  // embed() did
    ops_->rms_norm(activations_.normed, activations_.blocks[layer].input, config_.norm_eps);
    ops_->linear(pass_qkv(pass, layer), activations_.normed, blocks_[layer].qkv.weight, {});
}

void Denoiser::attend(const Pass& pass, int layer, Activations::Block& x) {
    const Rows& rows = pass.rows.projected;
    const bool chosen = is_last(layer) && rows.count > 0;
    const Matrix qkv = sequence_qkv(pass, layer);  // all rows, which resize() cuts
    AttentionShape shape = heads(pass.end());
    if (chosen) {
        activations_.resize(rows.count);
        x.attn_out.rows = x.mid_residual.rows = x.mlp_hidden.rows = rows.count;
        shape.queries = pass.kv_cache ? nullptr : rows.row;  // of a sequence that is decoded the last ones
    }
    ops_->attention(x.attn_out, qkv, x.log_sum_exp, shape);
    if (chosen) {
        // An embedding is a choice of rows; the block's qkv is free by now.
        const Matrix input(x.qkv.data, rows.count, config_.d_model);
        ops_->embed(input, rows.row, x.input.data, nullptr, nullptr, pass.length);
        x.input = input;
    }
}

Matrix Denoiser::mlp_input(const Pass& pass, int layer, Activations::Block& x) {
    Activations& a = activations_;
    const bool convolved = config_.conv_radius > 0;
    const Matrix normed = convolved && pass.kv_cache ? pass.kv_cache->conv_input(layer, pass.end()) : a.normed;
    const int count = x.mid_residual.rows;
    ops_->rms_norm({normed.row(normed.rows - count), count, config_.d_model}, x.mid_residual, config_.norm_eps);
    const Rows& output = pass.rows.output;
    if (is_last(layer) && output.count > 0) {
        const Matrix chosen(x.qkv.data + static_cast<std::ptrdiff_t>(count) * config_.d_model, output.count,
                            config_.d_model);
        ops_->embed(chosen, output.row, x.mid_residual.data, nullptr, nullptr, pass.length);
        a.resize(output.count);
        x.mid_residual = chosen;
        x.mlp_hidden.rows = output.count;
    }
    if (!convolved) return normed;
    LocalConv conv = convolution(layer, pass.end());
    if (is_last(layer)) conv.in_rows = pass.rows.projected.row;
    // Of a sequence that is decoded step by step, the output rows are the last ones.
    ops_->local_conv(a.mixed, normed, conv, is_last(layer) && !pass.kv_cache ? output.row : nullptr);
    return a.mixed;
}

Matrix Denoiser::stream_columns(int layer) const {
    const Matrix& input = activations_.blocks[layer].block_input;
    return {input.data, input.rows, config_.d_model, input.stride};
}

Matrix Denoiser::next_stream(int layer) const {
    if (is_last(layer)) return activations_.output;
    return config_.trunk == Trunk::article ? stream_columns(layer + 1) : activations_.blocks[layer + 1].input;
}

}  // namespace folio
