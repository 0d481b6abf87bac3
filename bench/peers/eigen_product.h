#pragma once

namespace folio::bench {

/// out [rows, cols] = in [rows, depth] weight^T [depth, cols] by Eigen, all row-major, on `threads` threads.
void eigen_product(float* out, const float* in, const float* weight, int rows, int cols, int depth, int threads);

}  // namespace folio::bench
