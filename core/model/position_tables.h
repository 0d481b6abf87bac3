#pragma once

#include <vector>

namespace folio {

/// [positions, head_dim] = cos | sin of the rotary embedding (Su et al. 2021, arXiv 2104.09864); the identity where
/// heads are not rotated.
std::vector<float> rotation_table(int positions, int head_dim, bool rotated);

/// [positions, d_model] = sin, cos, sin, cos ... (Vaswani et al. 2017, arXiv 1706.03762).
std::vector<float> position_table(int positions, int d_model);

}  // namespace folio
