#include "bench/peers/eigen_product.h"

#include <Eigen/Core>

namespace folio::bench {

void eigen_product(float* out, const float* in, const float* weight, int rows, int cols, int depth, int threads) {
    using Values = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::setNbThreads(threads);
    Eigen::Map<Values>(out, rows, cols).noalias() =
        Eigen::Map<const Values>(in, rows, depth) * Eigen::Map<const Values>(weight, cols, depth).transpose();
}

}  // namespace folio::bench
