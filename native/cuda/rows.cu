#include "native/cuda/device.cuh"
#include "native/cuda/dropout.cuh"
#include "native/cuda/reduce.cuh"

// Operations that work on each row by itself, a warp a row, and the embedding.

namespace folio::cuda {
namespace {

__device__ float inverse_root_mean_square(const float* x, int n, float eps) {
    float sum = 0.f;
    for (int i = lane(); i < n; i += warp_size) sum += x[i] * x[i];
    return 1.f / sqrtf(warp_sum(sum) / static_cast<float>(n) + eps);
}

__global__ void norm_rows(Matrix out, Matrix in, float eps) {
    const int r = warp_index();
    if (r >= in.rows) return;
    const float *x = in.row(r), scale = inverse_root_mean_square(x, in.cols, eps);
    float* y = out.row(r);
    for (int i = lane(); i < in.cols; i += warp_size) y[i] = x[i] * scale;
}

__global__ void norm_backward_rows(Matrix dx, Matrix dy, Matrix x, float eps) {
    const int r = warp_index(), n = x.cols;
    if (r >= x.rows) return;
    const float *in = x.row(r), *from = dy.row(r), scale = inverse_root_mean_square(in, n, eps);
    float dot = 0.f;
    for (int i = lane(); i < n; i += warp_size) dot += from[i] * in[i] * scale;
    const float mean = warp_sum(dot) / static_cast<float>(n);
    float* to = dx.row(r);
    for (int i = lane(); i < n; i += warp_size) to[i] += scale * (from[i] - in[i] * scale * mean);
}

/// A warp a head: q's, then k's.
__global__ void rope_qk_norm_heads(Matrix qkv, const float* rope, float* inverse_rms, AttentionShape heads, float eps) {
    const int at = warp_index(), both = 2 * heads.n_head, d = heads.head_dim, half = d / 2;
    const int r = at / both, h = at % both;
    if (r >= qkv.rows) return;
    const float *cosine = rope + static_cast<std::ptrdiff_t>(r % heads.length) * d, *sine = cosine + half;
    float* x = qkv.row(r) + h * d;
    float sum = 0.f;
    for (int i = lane(); i < half; i += warp_size) {
        const float first = x[i] * cosine[i] + x[half + i] * sine[i], second = x[half + i] * cosine[i] - x[i] * sine[i];
        x[i] = first;
        x[half + i] = second;
        sum += first * first + second * second;
    }
    const float scale = 1.f / sqrtf(warp_sum(sum) / static_cast<float>(d) + eps);
    for (int i = lane(); i < half; i += warp_size) {  // each lane its own elements again
        x[i] *= scale;
        x[half + i] *= scale;
    }
    if (inverse_rms && lane() == 0) inverse_rms[at] = scale;
}

__global__ void rope_norm_backward_heads(Matrix dqkv, Matrix qkv, const float* rope, const float* inverse_rms,
                                         AttentionShape heads) {
    const int at = warp_index(), both = 2 * heads.n_head, d = heads.head_dim, half = d / 2;
    const int r = at / both, h = at % both;
    if (r >= qkv.rows) return;
    const float *cosine = rope + static_cast<std::ptrdiff_t>(r % heads.length) * d, *sine = cosine + half;
    float* dx = dqkv.row(r) + h * d;
    const float *y = qkv.row(r) + h * d, scale = inverse_rms[at];
    float dot = 0.f;
    for (int i = lane(); i < d; i += warp_size) dot += dx[i] * y[i];
    const float mean = warp_sum(dot) / static_cast<float>(d);
    for (int i = lane(); i < half; i += warp_size) {
        const float first = scale * (dx[i] - y[i] * mean), second = scale * (dx[half + i] - y[half + i] * mean);
        dx[i] = first * cosine[i] - second * sine[i];
        dx[half + i] = second * cosine[i] + first * sine[i];
    }
}

__global__ void embed_rows(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                           int length) {
    const int r = warp_index(), n = out.cols;
    if (r >= out.rows) return;
    const float* from = table + static_cast<std::ptrdiff_t>(ids[r]) * n;
    const float* time = time_table ? time_table + static_cast<std::ptrdiff_t>(time_row[r / length]) * n : nullptr;
    float* to = out.row(r);
    for (int i = lane(); i < n; i += warp_size) to[i] = time ? from[i] + time[i] : from[i];
}

__global__ void add_matrix(Matrix out, Matrix a, Matrix b) {
    const int r = warp_index();
    if (r >= out.rows) return;
    const float *left = a.row(r), *right = b.rows > 0 ? b.row(r) : nullptr;
    float* to = out.row(r);
    for (int i = lane(); i < out.cols; i += warp_size) to[i] = right ? left[i] + right[i] : left[i];
}

__global__ void dropout_rows(Matrix out, Matrix dx, Dropout dropout) {
    const int r = warp_index();
    if (r >= out.rows) return;
    const float* from = dx.row(r);
    float* to = out.row(r);
    for (int i = lane(); i < out.cols; i += warp_size) to[i] = from[i] * dropout_factor(dropout, r, i, out.cols);
}

/// A warp a row of `out`, by the rule of Ops::local_conv.
__global__ void local_conv_rows(Matrix out, Matrix in, LocalConv conv, const int* rows, int cached) {
    const int r = warp_index(), n = out.cols;
    if (r >= out.rows) return;
    const int at = rows ? rows[r] : cached + r;
    const auto [first_k, last_k] = conv.reads(conv.position(at));
    float* to = out.row(r);
    for (int i = lane(); i < n; i += warp_size) {
        float sum = in.row(at)[i];
        for (int k = first_k; k <= last_k; ++k) sum += conv.row(k, n)[i] * in.row(at + k)[i];
        to[i] = sum;
    }
}

/// A warp a row of `dx`: row r was read at offset k by row r - k.
__global__ void local_conv_backward_rows(Matrix dx, Matrix dy, LocalConv conv) {
    const int r = warp_index(), n = dx.cols;
    if (r >= dx.rows) return;
    const auto [first_k, last_k] = conv.read_by(conv.position(r));
    float* to = dx.row(r);
    for (int i = lane(); i < n; i += warp_size) {
        float sum = dy.row(r)[i];
        for (int k = first_k; k <= last_k; ++k) sum += conv.row(k, n)[i] * dy.row(r - k)[i];
        to[i] = sum;
    }
}

constexpr int gather_threads = 1024, gather_warps = gather_threads / warp_size;

/// The sum of each lane's numbers over the warps of a block of gather_threads, in warp 0.
__device__ float sum_over_warps(float sum) {
    __shared__ float sums[gather_warps][warp_size];
    sums[warp_in_block()][lane()] = sum;
    __syncthreads();
    if (warp_in_block() == 0)
        for (int i = 1; i < gather_warps; ++i) sum += sums[i][lane()];
    return sum;
}

/// table[id] += the rows of dout whose number ids[r / per] it is: a block an id and 32 columns, a warp a run of rows.
__global__ void __launch_bounds__(gather_threads) gather_rows(Matrix table, Matrix dout, const int* ids, int per) {
    const int id = static_cast<int>(blockIdx.x), col = static_cast<int>(blockIdx.y) * warp_size + lane();
    const int warp = warp_in_block(), run = divide_up(divide_up(dout.rows, gather_warps), warp_size) * warp_size;
    const int end = min(dout.rows, (warp + 1) * run);
    float sum = 0.f;
    for (int first = warp * run; first < end; first += warp_size) {
        unsigned found = __ballot_sync(all_lanes, first + lane() < end && ids[(first + lane()) / per] == id);
        while (found != 0) {
            // Several on their way at once, added one after another.
            float some[8];
#pragma unroll
            for (float& one : some) {
                const int r = first + __ffs(static_cast<int>(found)) - 1;
                one = found != 0 && col < dout.cols ? dout.row(r)[col] : 0.f;
                found &= found - 1;
            }
#pragma unroll
            for (const float one : some) sum += one;
        }
    }
    sum = sum_over_warps(sum);
    if (warp == 0 && col < dout.cols) table.row(id)[col] += sum;
}

/// dfilter[tap] += sum of dy[r] x[r + k]: a block a tap and 32 columns, a warp a run of rows.
__global__ void __launch_bounds__(gather_threads) filter_gradient(Matrix dfilter, Matrix dy, Matrix x, LocalConv conv) {
    const int k = static_cast<int>(blockIdx.x) - conv.radius, col = static_cast<int>(blockIdx.y) * warp_size + lane();
    const int warp = warp_in_block(), run = divide_up(dy.rows, gather_warps);
    const int end = min(dy.rows, (warp + 1) * run);
    float sum = 0.f;
    if (col < dy.cols) {
        for (int r = warp * run; r < end; ++r) {
            const int position = conv.position(r) + k;
            if (position >= 0 && position < conv.length) sum += dy.row(r)[col] * x.row(r + k)[col];
        }
    }
    sum = sum_over_warps(sum);
    if (warp == 0 && col < dy.cols) dfilter.row(static_cast<int>(blockIdx.x))[col] += sum;
}

}  // namespace

void Device::local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) {
    launch(local_conv_rows, for_rows(static_cast<std::size_t>(out.rows)), out, in, conv, rows, in.rows - out.rows);
}

void Device::local_conv_backward_input(Matrix dx, Matrix dy, const LocalConv& conv) {
    launch(local_conv_backward_rows, for_rows(static_cast<std::size_t>(dx.rows)), dx, dy, conv);
}

void Device::local_conv_backward_filter(Matrix dfilter, Matrix dy, Matrix x, const LocalConv& conv) {
    const auto columns = static_cast<unsigned>(divide_up(dy.cols, warp_size));
    launch_with(gather_threads, filter_gradient, dim3(static_cast<unsigned>(dfilter.rows), columns), dfilter, dy, x,
                conv);
}

void Device::rms_norm(Matrix out, Matrix in, float eps) {
    launch(norm_rows, for_rows(static_cast<std::size_t>(in.rows)), out, in, eps);
}

void Device::rms_norm_backward(Matrix dx, Matrix dy, Matrix x, float eps) {
    launch(norm_backward_rows, for_rows(static_cast<std::size_t>(x.rows)), dx, dy, x, eps);
}

void Device::rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads, float eps) {
    launch(rope_qk_norm_heads, for_rows(static_cast<std::size_t>(qkv.rows) * 2 * heads.n_head), qkv, rope, inverse_rms,
           heads, eps);
}

void Device::rope_qk_norm_backward(Matrix dqkv, Matrix qkv, const float* rope, const float* inverse_rms,
                                   const AttentionShape& heads) {
    launch(rope_norm_backward_heads, for_rows(static_cast<std::size_t>(qkv.rows) * 2 * heads.n_head), dqkv, qkv, rope,
           inverse_rms, heads);
}

void Device::embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                   int length) {
    launch(embed_rows, for_rows(static_cast<std::size_t>(out.rows)), out, ids, table, time_table, time_row, length);
}

void Device::add(Matrix out, Matrix a, Matrix b) {
    launch(add_matrix, for_rows(static_cast<std::size_t>(out.rows)), out, a, b);
}

void Device::dropout_backward(Matrix out, Matrix dx, const Dropout& dropout) {
    launch(dropout_rows, for_rows(static_cast<std::size_t>(out.rows)), out, dx, dropout);
}

void Device::embed_backward(Matrix dtable, Matrix dtime, Matrix dout, const int* ids, const int* time_row, int length) {
    const auto columns = static_cast<unsigned>(divide_up(dout.cols, warp_size));
    launch_with(gather_threads, gather_rows, dim3(static_cast<unsigned>(dtable.rows), columns), dtable, dout, ids, 1);
    launch_with(gather_threads, gather_rows, dim3(static_cast<unsigned>(dtime.rows), columns), dtime, dout, time_row,
                length);
}

}  // namespace folio::cuda
