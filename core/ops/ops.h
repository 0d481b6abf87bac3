#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/host_device.h"
#include "core/base/philox.h"
#include "core/base/result.h"

/// Every operation that a model is made of, as coarse as a good backend can fuse. A forward pass takes `Ops&`, a
/// backward pass both interfaces. All arrays are on the device and f32 unless said otherwise; rows are positions,
/// sequence after sequence, `length` rows each. Gradient contract: parameter gradients are added to (+=), activation
/// gradients are overwritten (=), except that the backward of a norm adds to the gradient of its residual stream (+=).
/// Scalars that change from one training step to the next are on the device too, so that a captured step can run again.
namespace folio {

class Ops;

/// Device memory with an owner.
class Storage {
public:
    Storage() = default;
    Storage(Ops& ops, void* data, std::size_t bytes) : ops_(&ops), data_(data), bytes_(bytes) {}
    Storage(Storage&& other) noexcept { swap(other); }
    Storage& operator=(Storage&& other) noexcept {
        Storage(std::move(other)).swap(*this);
        return *this;
    }
    ~Storage();

    std::size_t bytes() const { return bytes_; }
    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    void swap(Storage& other) noexcept {
        std::swap(ops_, other.ops_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    Ops* ops_ = nullptr;
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A row-major view.
template <class T>
struct MatrixView {
    T* data = nullptr;
    int rows = 0;
    int cols = 0;
    int stride = 0;

    MatrixView() = default;
    MatrixView(T* data, int rows, int cols) : MatrixView(data, rows, cols, cols) {}
    MatrixView(T* data, int rows, int cols, int stride) : data(data), rows(rows), cols(cols), stride(stride) {}

    FOLIO_HOST_DEVICE T* row(int i) const { return data + static_cast<std::ptrdiff_t>(i) * stride; }
    FOLIO_HOST_DEVICE T& operator()(int i, int j) const { return row(i)[j]; }
};

/// f32 on the device.
using Matrix = MatrixView<float>;

/// The values of a matrix [out, in]: f32 on the device, or s8 in host memory, of which output channel i is worth
/// scale[i].
struct WeightSource {
    const float* f32 = nullptr;
    const std::int8_t* s8 = nullptr;
    const float* scale = nullptr;
    bool wide_input = false;  // s8: the layer's input is rounded to 16 bits instead of 7
};

/// The matrix [out, in] of a linear layer, packed as the backend's products like it. Made by `Ops::pack`.
struct PackedWeight {
    int out = 0;
    int in = 0;
    bool wide_input = false;
    Storage forward;   // for y = x W^T
    Storage backward;  // for dx = dy W; only where training asked for it
};

/// Inverted dropout. Nothing is stored for the backward pass: eight rows of a column share the counter
/// {row / 8 * cols + column, step, purpose}, 16 bits each, the lower half of each word first.
struct Dropout {
    float rate = 0;  // 0: none
    std::uint64_t seed = 0;
    const std::uint32_t* step = nullptr;  // on the device
    std::uint32_t purpose = 0;
    std::uint64_t first_row = 0;  // the number of row 0 within the whole batch
};

/// An element is dropped where its 16 bits are below this.
FOLIO_HOST_DEVICE constexpr std::uint32_t dropout_limit(float rate) {
    return static_cast<std::uint32_t>(rate * 65536.f);
}

/// Applied to a product before it is stored.
struct Epilogue {
    enum class Kind {
        store,     // out = xW
        relu2,     // out = max(0, xW)^2
        residual,  // out = residual + dropout(xW); residual may be out itself
    };
    Kind kind = Kind::store;
    Matrix residual;
    Dropout dropout;
};

/// Which heads lie in a row of q|k|v [R, 3 d_model], and how they attend.
struct AttentionShape {
    int length = 0;  // rows per sequence
    int n_head = 0;
    int head_dim = 0;
    bool causal = false;
    int max_length = 0;  // of any pass of this model
    const int* queries =
        nullptr;  // rows of qkv, ascending, that attention's output is of; null: all, or the last ones of one sequence
};

/// The rows of attention's output [out_rows, D] that are of one sequence, and their positions in it.
struct Queries {
    const int* rows;   // of qkv; or null
    int first, count;  // rows of the output
    int begin;         // the sequence's first row in qkv
    int n_cached;      // positions before the first one, where rows is null

    FOLIO_HOST_DEVICE Queries(const AttentionShape& heads, int out_rows, int qkv_rows, int sequence)
        : rows(heads.queries), begin(sequence * heads.length) {
        n_cached = rows ? 0 : qkv_rows - out_rows;
        first = rows ? before(begin, out_rows) : n_cached > 0 ? 0 : begin;
        count = rows ? before(begin + heads.length, out_rows) - first : heads.length - n_cached;
    }
    /// Position of output row first + i.
    FOLIO_HOST_DEVICE int position(int i) const { return rows ? rows[first + i] - begin : n_cached + i; }
    /// The most that a sequence can have.
    static int most(const AttentionShape& heads, int out_rows) {
        return out_rows < heads.length ? out_rows : heads.length;
    }

private:
    /// Number of `rows` below `limit`.
    FOLIO_HOST_DEVICE int before(int limit, int total) const {
        int least = 0, most = total;
        while (least < most) {
            const int middle = (least + most) / 2;
            if (rows[middle] < limit)
                least = middle + 1;
            else
                most = middle;
        }
        return least;
    }
};

/// A depthwise convolution over the positions of a sequence, added to its input (a Canon layer, Allen-Zhu 2025, arXiv
/// 2512.17351).
struct LocalConv {
    const float* filter = nullptr;  // [taps, d_model], row j for offset j - radius
    int radius = 0;
    bool causal = false;           // no offset beyond 0
    int length = 0;                // rows per sequence
    const int* in_rows = nullptr;  // row of the batch that each row of the input is; null: all are there, in order

    FOLIO_HOST_DEVICE int position(int in_row) const { return (in_rows ? in_rows[in_row] : in_row) % length; }
    /// The filter's weights [d_model] for an offset.
    FOLIO_HOST_DEVICE const float* row(int offset, int d_model) const {
        return filter + (offset + radius) * static_cast<std::ptrdiff_t>(d_model);
    }
    FOLIO_HOST_DEVICE int last_offset() const { return causal ? 0 : radius; }

    struct Offsets {
        int first, last;
    };
    /// Offsets at which a position reads its sequence.
    FOLIO_HOST_DEVICE Offsets reads(int position) const {
        const int after = length - 1 - position;
        return {position < radius ? -position : -radius, after < last_offset() ? after : last_offset()};
    }
    /// Offsets at which its sequence reads a position.
    FOLIO_HOST_DEVICE Offsets read_by(int position) const {
        const int after = length - 1 - position;
        return {after < radius ? -after : -radius, position < last_offset() ? position : last_offset()};
    }
};

/// Forward operations. Work may be put off until synchronize, download or an operation that needs it: what an operation
/// was given must live till then.
class Ops {
public:
    virtual ~Ops() = default;

    /// Uninitialised memory, 64-byte aligned; fails in one sentence when there is none.
    virtual Result<Storage> allocate(std::size_t bytes) = 0;
    virtual void release(void* data) = 0;
    /// Makes `storage` one of `bytes` bytes: new memory where it has another size.
    Result<void> resize(Storage& storage, std::size_t bytes);
    /// Has read what it was given when it returns; `host` may lie on the device too.
    virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
    virtual void download(void* host, const void* device, std::size_t bytes) = 0;
    /// Returns when all work given so far is done, or the first thing that went wrong since the last call.
    virtual Result<void> synchronize() = 0;

    /// Packs `values` [out, in], of the kind that this arithmetic takes, for products; the second time into the same
    /// memory. `training` also packs for backward.
    virtual Result<void> pack(PackedWeight& weight, const WeightSource& values, int out, int in, bool training) = 0;

    /// out[r] = table[ids[r]] (+ time_table[time_row[r / length]] where time_table is not null). ids, time_row: int32.
    virtual void embed(Matrix out, const int* ids, const float* table, const float* time_table, const int* time_row,
                       int length) = 0;
    /// out [R, d] = weights [R, n] table [n, d] (+ positions[r % length] where positions is not null), in order of n.
    virtual void embed_soft(Matrix out, Matrix weights, const float* table, const float* positions, int length) = 0;
    /// out = a + b; without b (no rows) a copy.
    virtual void add(Matrix out, Matrix a, Matrix b) = 0;
    /// out [R, out] = epilogue(in [R, in] W^T).
    virtual void linear(Matrix out, Matrix in, const PackedWeight& weight, const Epilogue& epilogue) = 0;
    /// out = in / sqrt(mean(in^2) + eps), row by row (RMSNorm without gain, Zhang & Sennrich 2019). out may be in.
    virtual void rms_norm(Matrix out, Matrix in, float eps) = 0;
    /// out[i] = in[i] + sum over offsets k, ascending, of filter[k] * in[i + k], zero outside the sequence; multiplied
    /// and added apart on the exact path. out may not be in. Where `rows` is not null, out[j] is of in's row rows[j],
    /// whose neighbours must be there; else where in has more rows than out, both hold one sequence, and out is of its
    /// last positions.
    virtual void local_conv(Matrix out, Matrix in, const LocalConv& conv, const int* rows) = 0;
    /// Rotates q and k in place by their positions (Su et al. 2021; first half paired with second half), then RMS-norms
    /// each head. rope: [positions, head_dim] = cos | sin. inverse_rms [R, 2 n_head] is kept for the backward pass
    /// where it is not null: q's heads, then k's.
    virtual void rope_qk_norm(Matrix qkv, const float* rope, float* inverse_rms, const AttentionShape& heads,
                              float eps) = 0;
    /// out [R, d_model] = softmax(q k^T / sqrt(head_dim)) v per head, within each sequence. q and k must be normed, as
    /// their logits are then within sqrt(head_dim) and no maximum is taken. log_sum_exp [R, n_head] is kept where not
    /// null. Where heads.queries names rows of qkv, out is of those; else where qkv has more rows than out, both hold
    /// one sequence, and out is of its last positions.
    virtual void attention(Matrix out, Matrix qkv, float* log_sum_exp, const AttentionShape& heads) = 0;
};

inline Storage::~Storage() {
    if (ops_ && data_) ops_->release(data_);
}

inline Result<void> Ops::resize(Storage& storage, std::size_t bytes) {
    if (storage.bytes() == bytes) return {};
    auto fresh = allocate(bytes);
    if (!fresh) return tl::unexpected(fresh.error());
    storage = std::move(*fresh);
    return {};
}

}  // namespace folio
