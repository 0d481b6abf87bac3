#include "core/model/kv_cache.h"

#include <algorithm>

namespace folio {

Result<void> KvCache::reserve(Ops& ops, const ModelConfig& config, int length) {
    if (length <= capacity_) return {};
    n_layer_ = config.n_layer;
    d_model_ = config.d_model;
    const int capacity = std::max(length, config.seq_len), rows = config.conv_radius > 0 ? 4 : 3;
    auto storage = ops.allocate(static_cast<std::size_t>(n_layer_) * capacity * rows * d_model_ * sizeof(float));
    if (!storage) return tl::unexpected(storage.error());
    storage_ = std::move(*storage);
    capacity_ = capacity;
    n_cached = 0;
    return {};
}

Matrix KvCache::qkv(int layer, int length) const {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(layer) * capacity_ * 3 * d_model_;
    return {storage_.as<float>() + first, length, 3 * d_model_};
}

Matrix KvCache::conv_input(int layer, int length) const {
    const std::ptrdiff_t first = (static_cast<std::ptrdiff_t>(n_layer_) * 3 + layer) * capacity_ * d_model_;
    return {storage_.as<float>() + first, length, d_model_};
}

}  // namespace folio
