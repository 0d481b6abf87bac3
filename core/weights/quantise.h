#pragma once

#include "core/weights/model_file.h"

namespace folio {

/// The I8 model of an f32 one, without any data to calibrate it: each output channel by the scale that loses least, in
/// squares. Trunk `modern` without a convolution is rotated first: the residual stream by an orthogonal matrix, which
/// leaves the model's function as it is, since its norms have no gain, but spreads outlier channels over all of them,
/// so that rounding a row of activations by one scale costs less (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456).
/// Fails where the rotation leaves f32.
Result<ModelFile> quantise(const ModelFile& model);

/// The f32 model of an I8 one.
ModelFile dequantise(const ModelFile& model);

}  // namespace folio
