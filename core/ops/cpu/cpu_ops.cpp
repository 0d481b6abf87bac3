#include "core/ops/cpu/cpu_ops.h"

#include <cassert>
#include <cstdlib>
#include <cstring>

namespace folio {

CpuOps::CpuOps(Parallel& parallel, const KernelSet& kernels, Precision precision)
    : parallel_(parallel),
      set_(&kernels),
      kernels_(precision == Precision::int8 ? *kernels.uncontracted : *kernels.f32),
      product_(precision == Precision::bf16 ? *kernels.bf16 : kernels_.product),
      workers_(static_cast<std::size_t>(parallel.width())) {}

CpuOps::~CpuOps() {
    for (Scratch& scratch : workers_) std::free(scratch.data);
}

Result<Storage> CpuOps::allocate(std::size_t bytes) {
    void* data = std::aligned_alloc(gemm::alignment, gemm::align(std::max<std::size_t>(bytes, 1)));
    if (!data) {
        return fail("There is not enough memory: " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                    " MiB more were needed; use a smaller model, batch or length.");
    }
    return Storage(*this, data, bytes);
}

void CpuOps::release(void* data) { std::free(data); }
// memcpy from null is undefined even for 0 bytes.
void CpuOps::upload(void* device, const void* host, std::size_t bytes) {
    if (bytes > 0) std::memcpy(device, host, bytes);
}
void CpuOps::download(void* host, const void* device, std::size_t bytes) {
    if (bytes > 0) std::memcpy(host, device, bytes);
}

Result<void> CpuOps::synchronize() {
    if (failure_.empty()) return {};
    std::string sentence;
    sentence.swap(failure_);
    return fail(std::move(sentence));
}

bool CpuOps::grow(Scratch& scratch, std::size_t bytes) {
    if (scratch.bytes >= bytes) return true;
    release(scratch.data);
    scratch = {};
    scratch.data = std::aligned_alloc(gemm::alignment, gemm::align(bytes));
    if (!scratch.data) {
        failure_ = "There is not enough memory for a product of this size; use a smaller model, batch or length.";
        return false;
    }
    scratch.bytes = gemm::align(bytes);
    return true;
}

bool CpuOps::grow_workers(std::size_t bytes) {
    for (Scratch& scratch : workers_)
        if (!grow(scratch, bytes)) return false;
    return true;
}

Result<void> CpuOps::pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) {
    assert(values.f32);
    const auto pack_into = [&](Storage& storage, gemm::Operand b, int cols, int depth) -> Result<void> {
        if (auto done = resize(storage, gemm::packed_bytes(product_, cols, depth)); !done) return done;
        void* packed = storage.as<void>();
        parallel_.each(gemm::panels(product_, cols),
                       [&](int panel, int) { gemm::pack_panel(product_, packed, b, cols, depth, panel); });
        return {};
    };
    weight.out = out;
    weight.in = in;
    if (auto done = pack_into(weight.forward, {values.f32, in, 1}, out, in); !done) return done;
    return training ? pack_into(weight.backward, {values.f32, 1, in}, in, out) : Result<void>{};
}

void CpuOps::embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                   int length) {
    over_rows(out.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            const float* row = table + static_cast<std::ptrdiff_t>(ids[r]) * out.cols;
            if (time_table) {
                const float* time = time_table + static_cast<std::ptrdiff_t>(time_row[r / length]) * out.cols;
                kernels_.add(out.row(r), row, time, out.cols);
            } else {
                std::memcpy(out.row(r), row, sizeof(float) * out.cols);
            }
        }
    });
}

void CpuOps::embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) {
    const std::ptrdiff_t d = out.cols;
    over_rows(out.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            float* to = out.row(r);
            if (positions)
                std::memcpy(to, positions + r % length * d, sizeof(float) * d);
            else
                std::memset(to, 0, sizeof(float) * d);
            for (int k = 0; k < weights.cols; ++k) kernels_.add_scaled(to, table + k * d, out.cols, weights.row(r)[k]);
        }
    });
}

void CpuOps::add(Matrix out, Matrix a, Matrix b) {
    over_rows(out.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            if (b.rows > 0)
                kernels_.add(out.row(r), a.row(r), b.row(r), out.cols);
            else
                std::memcpy(out.row(r), a.row(r), sizeof(float) * out.cols);
        }
    });
}

void CpuOps::linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) {
    assert(in.cols == weight.in && out.cols == weight.out && in.rows == out.rows);
    product({in.data, in.stride, 1}, in.rows, weight.forward.as<void>(), weight.out, weight.in,
            [&](float* sums, int stride, int first, int rows, int col, int cols) {
                if (epilogue.kind == Epilogue::Kind::residual && epilogue.dropout.rate > 0)
                    kernels_.dropout(sums, stride, sums, stride, rows, cols, first, col, out.cols, epilogue.dropout);
                for (int i = 0; i < rows; ++i) {
                    float* sum = sums + i * stride;
                    float* to = out.row(first + i) + col;
                    switch (epilogue.kind) {
                        case Epilogue::Kind::store: std::memcpy(to, sum, sizeof(float) * cols); break;
                        case Epilogue::Kind::relu2: kernels_.relu2(to, sum, cols); break;
                        case Epilogue::Kind::residual:
                            kernels_.add(to, epilogue.residual.row(first + i) + col, sum, cols);
                            break;
                    }
                }
            });
}

void CpuOps::norm_rows(Matrix out, Matrix in, float eps, int first, int last) {
    for (int r = first; r < last; ++r) kernels_.rms_norm(out.row(r), in.row(r), in.cols, eps);
}

void CpuOps::rms_norm(Matrix out, Matrix in, float eps) {
    over_rows(out.rows, [&](int first, int last, int) { norm_rows(out, in, eps, first, last); });
}

void CpuOps::local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) {
    const int cached = rows ? 0 : in.rows - out.rows;
    over_rows(out.rows, [&](int first, int last, int) {
        for (int r = first; r < last; ++r) {
            const int at = rows ? rows[r] : cached + r;
            const auto [first_k, last_k] = conv.reads(conv.position(at));
            kernels_.add_products(out.row(r), in.row(at), conv.row(first_k, out.cols), out.cols, in.row(at + first_k),
                                  in.stride, last_k - first_k + 1, out.cols);
        }
    });
}

void CpuOps::rope_norm_rows(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads, float eps,
                            int first, int last) {
    const int both = 2 * heads.n_head;
    for (int r = first; r < last; ++r) {
        const float* turn = rope + static_cast<std::ptrdiff_t>(r % heads.length) * heads.head_dim;
        for (int h = 0; h < both; ++h) {
            const float inverse = kernels_.rope_qk_norm(qkv.row(r) + h * heads.head_dim, turn, heads.head_dim, eps);
            if (inverse_rms) inverse_rms[static_cast<std::ptrdiff_t>(r) * both + h] = inverse;
        }
    }
}

void CpuOps::rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads, float eps) {
    over_rows(qkv.rows,
              [&](int first, int last, int) { rope_norm_rows(qkv, rope, inverse_rms, heads, eps, first, last); });
}

}  // namespace folio
