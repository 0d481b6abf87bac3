#include "native/cuda/device.cuh"
#include "native/cuda/reduce.cuh"

// Losses and softmax, a warp a row and one pass over the logits.

namespace folio::cuda {
namespace {

/// out = exp(in - the largest) with column `excluded` left out, and their sum. Every lane keeps to its own columns, so
/// out may be in. What is no number stays none.
__device__ float exponentials(float* out, const float* in, int n, int excluded, float& largest) {
    float top = -INFINITY;
    for (int i = lane(); i < n; i += warp_size)
        if (i != excluded) top = fmaxf(top, in[i]);
    largest = warp_max(top);
    float sum = 0.f;
    for (int i = lane(); i < n; i += warp_size) {
        const float e = i == excluded ? 0.f : expf(in[i] - largest);
        out[i] = e;
        sum += e;
    }
    return warp_sum(sum);
}

__global__ void cross_entropy_rows(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights,
                                   int excluded) {
    const int r = warp_index(), n = logits.cols;
    if (r >= logits.rows) return;
    float* d = dlogits.row(r);
    const float weight = weights[r];
    if (weight == 0.f) {
        for (int i = lane(); i < n; i += warp_size) d[i] = 0.f;
        if (lane() == 0) loss[r] = 0.f;
        return;
    }
    const int target = targets[r];
    const float right = logits.row(r)[target];
    __syncwarp();  // dlogits may be logits
    float largest;
    const float sum = exponentials(d, logits.row(r), n, excluded, largest);
    for (int i = lane(); i < n; i += warp_size) d[i] = weight * (d[i] / sum - (i == target ? 1.f : 0.f));
    if (lane() == 0) loss[r] = weight * (logf(sum) + largest - right);
}

__global__ void mean_squares_rows(Matrix dout, float* loss, Matrix out, Matrix target, const float* weights) {
    const int r = warp_index();
    if (r >= out.rows) return;
    const float *o = out.row(r), *t = target.row(r), weight = weights[r];
    float* d = dout.row(r);
    double squares = 0;
    for (int i = lane(); i < out.cols; i += warp_size) {
        const float difference = o[i] - t[i];
        squares += static_cast<double>(difference) * difference;
        d[i] = 2 * weight * difference;
    }
    squares = warp_sum(squares);
    if (lane() == 0) loss[r] = static_cast<float>(weight * squares);
}

__global__ void softmax_rows(Matrix out, Matrix logits) {
    const int r = warp_index();
    if (r >= logits.rows) return;
    float* p = out.row(r);
    float largest;
    const float sum = exponentials(p, logits.row(r), logits.cols, -1, largest);
    for (int i = lane(); i < logits.cols; i += warp_size) p[i] /= sum;
}

__global__ void brier_rows(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights) {
    const int r = warp_index(), n = logits.cols;
    if (r >= logits.rows) return;
    float *p = dlogits.row(r), largest;
    const float sum = exponentials(p, logits.row(r), n, -1, largest), weight = weights[r];
    const int target = targets[r];
    double squares = 0, dot = 0;  // |p - x|^2, p . (p - x)
    for (int i = lane(); i < n; i += warp_size) {
        p[i] /= sum;
        const double difference = p[i] - (i == target ? 1.f : 0.f);
        squares += difference * difference;
        dot += p[i] * difference;
    }
    squares = warp_sum(squares);
    dot = warp_sum(dot);
    for (int i = lane(); i < n; i += warp_size) {
        const float difference = p[i] - (i == target ? 1.f : 0.f);
        p[i] = 2 * weight * p[i] * (difference - static_cast<float>(dot));
    }
    if (lane() == 0) loss[r] = static_cast<float>(weight * squares);
}

}  // namespace

void Device::cross_entropy(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights,
                           int excluded) {
    launch(cross_entropy_rows, for_rows(static_cast<std::size_t>(logits.rows)), dlogits, loss, logits, targets, weights,
           excluded);
}

void Device::squared_error(Matrix dout, float* loss, Matrix out, Matrix target, const float* weights) {
    launch(mean_squares_rows, for_rows(static_cast<std::size_t>(out.rows)), dout, loss, out, target, weights);
}

void Device::softmax(Matrix out, Matrix logits) {
    launch(softmax_rows, for_rows(static_cast<std::size_t>(logits.rows)), out, logits);
}

void Device::brier(Matrix dlogits, float* loss, Matrix logits, const int* targets, const float* weights) {
    launch(brier_rows, for_rows(static_cast<std::size_t>(logits.rows)), dlogits, loss, logits, targets, weights);
}

}  // namespace folio::cuda
