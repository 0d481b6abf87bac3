#include "core/model/activations.h"

#include <cstdint>
#include <string>

namespace folio {

namespace {

/// Hands out consecutive arrays; with base null it only adds up their size, in 64 bits on every target.
struct Layout {
    char* base;
    std::uint64_t used = 0;

    float* floats(std::uint64_t count) {
        char* at = base ? base + used : nullptr;
        used += (count * sizeof(float) + 63) / 64 * 64;
        return reinterpret_cast<float*>(at);
    }
    Matrix matrix(int rows, int cols) { return {floats(static_cast<std::uint64_t>(rows) * cols), rows, cols}; }
};

void lay_out(Activations& a, Layout& layout, const ModelConfig& config, int rows, bool training) {
    const int d = config.d_model;
    const Matrix stream = layout.matrix(rows, d);
    a.embedded = training ? layout.matrix(rows, d) : stream;
    a.normed = layout.matrix(rows, d);
    if (config.conv_radius > 0) a.mixed = layout.matrix(rows, d);
    a.logits = layout.matrix(rows, config.vocab_size);
    const bool article = config.trunk == Trunk::article;
    const std::size_t skips = article ? static_cast<std::size_t>(config.n_layer) / 2 : 0;
    a.blocks.resize(static_cast<std::size_t>(config.n_layer));
    for (std::size_t i = 0; i < a.blocks.size(); ++i) {
        Activations::Block& block = a.blocks[i];
        if (!training && i > 0) {
            block = a.blocks[0];
            block.input = i < skips ? layout.matrix(rows, d) : stream;
            continue;
        }
        if (article) block.block_input = layout.matrix(rows, d + config.time_rows);
        block.input = (training && i > 0) || i < skips ? layout.matrix(rows, d) : stream;
        block.qkv = layout.matrix(rows, 3 * d);
        block.inverse_rms = training ? layout.floats(static_cast<std::uint64_t>(rows) * 2 * config.n_head) : nullptr;
        block.log_sum_exp = training ? layout.floats(static_cast<std::uint64_t>(rows) * config.n_head) : nullptr;
        block.attn_out = layout.matrix(rows, d);
        block.mid_residual = training ? layout.matrix(rows, d) : stream;
        block.mlp_hidden = layout.matrix(rows, config.d_ff);
    }
    a.output = training ? layout.matrix(rows, d) : stream;
    if (training) {
        a.d_residual = layout.matrix(rows, d);
        a.d_branch = layout.matrix(rows, d);
        a.d_qkv = layout.matrix(rows, 3 * d);
        a.d_mlp_hidden = layout.matrix(rows, config.d_ff);
        if (article) a.d_block_input = layout.matrix(rows, d + config.time_rows);
        a.d_skip.resize(skips);
        for (Matrix& skip : a.d_skip) skip = layout.matrix(rows, d);
    }
}

}  // namespace

Result<void> Activations::reserve(Ops& ops, const ModelConfig& config, int rows, bool training) {
    if (rows <= reserved_) return {};
    Layout sizes{nullptr};
    lay_out(*this, sizes, config, rows, training);
    storage_ = {};
    reserved_ = 0;
    if (sizes.used > PTRDIFF_MAX)
        return fail("A pass of " + std::to_string(rows) + " positions does not fit in memory; choose fewer.");
    auto storage = ops.allocate(static_cast<std::size_t>(sizes.used));
    if (!storage) return tl::unexpected(storage.error());
    storage_ = std::move(*storage);
    reserved_ = rows;
    Layout layout{storage_.as<char>()};
    lay_out(*this, layout, config, rows, training);
    return {};
}

void Activations::resize(int rows) {
    for (Matrix* m :
         {&embedded, &output, &normed, &mixed, &logits, &d_residual, &d_branch, &d_qkv, &d_mlp_hidden, &d_block_input})
        m->rows = rows;
    for (Matrix& skip : d_skip) skip.rows = rows;
    for (Block& block : blocks)
        for (Matrix* m :
             {&block.block_input, &block.input, &block.qkv, &block.attn_out, &block.mid_residual, &block.mlp_hidden})
            m->rows = rows;
}

}  // namespace folio
