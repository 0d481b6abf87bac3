#pragma once

#include "core/weights/model_file.h"

namespace folio {

/// The I8 model of an f32 one, without any data to calibrate it: each output channel by the scale that loses least, in
/// squares. Before, the residual stream is turned by an orthogonal matrix, which changes nothing of what the model
/// computes, since its norms have no gain, but spreads what stands out in single channels over all of them, so that
/// rounding a row of activations by one scale costs less (Ashkboos et al. 2024, QuaRot). Fails where turning leaves
/// f32.
Result<ModelFile> quantise(const ModelFile& model);

/// The f32 model of an I8 one.
ModelFile dequantise(const ModelFile& model);

}  // namespace folio
