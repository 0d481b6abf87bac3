#pragma once

#include "core/model/config.h"
#include "core/ops/ops.h"

namespace folio {

/// Keys and values of a sequence that a causal model decodes step by step, with its queries, since q|k|v is one
/// product, and the convolution's input.
class KvCache {
public:
    int n_cached = 0;  // positions that are valid; a smaller number drops the rest

    /// Makes room for `length` positions; nothing is cached any more where that moves them.
    Result<void> reserve(Ops& ops, const ModelConfig& config, int length);
    /// q|k|v of a layer [length, 3 d_model], q and k rotated and normed.
    Matrix qkv(int layer, int length) const;
    /// The convolution's input of a layer [length, d_model].
    Matrix conv_input(int layer, int length) const;

private:
    Storage storage_;  // q|k|v of all layers, then, where there is a convolution, its inputs
    int capacity_ = 0, n_layer_ = 0, d_model_ = 0;
};

}  // namespace folio
