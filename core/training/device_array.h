#pragma once

#include <span>

#include "core/ops/training_ops.h"

namespace folio {

/// Values of one type in device memory.
template <class T>
class DeviceArray {
public:
    Result<void> allocate(Ops& ops, std::size_t count) {
        auto storage = ops.allocate(count * sizeof(T));
        if (!storage) return tl::unexpected(storage.error());
        storage_ = std::move(*storage);
        size_ = count;
        return {};
    }

    T* data() const { return storage_.as<T>(); }
    std::size_t size() const { return size_; }
    /// Copies `values`, no more than there is room for, to its beginning.
    void upload(Ops& ops, std::span<const T> values) const { ops.upload(data(), values.data(), values.size_bytes()); }
    /// Copies as many as `values` has from its beginning; there after ops.synchronize().
    void download(Ops& ops, std::span<T> values) const { ops.download(values.data(), data(), values.size_bytes()); }

private:
    Storage storage_;
    std::size_t size_ = 0;
};

/// Allocates several arrays; once one has failed, no further one.
class Allocations {
public:
    explicit Allocations(Ops& ops) : ops_(ops) {}

    template <class T>
    Allocations& add(DeviceArray<T>& array, std::size_t count) {
        if (status_) status_ = array.allocate(ops_, count);
        return *this;
    }
    const Result<void>& status() const { return status_; }

private:
    Ops& ops_;
    Result<void> status_;
};

}  // namespace folio
