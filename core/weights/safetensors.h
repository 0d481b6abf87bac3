#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace folio {

/// The element types of safetensors that Folio knows.
enum class Dtype { f32, f16, bf16, i8 };

std::size_t size_of(Dtype dtype);       // in bytes
std::string_view name_of(Dtype dtype);  // as safetensors writes it: "F32"

/// One tensor of a file: row-major elements, little-endian and aligned to nothing, in memory that the caller owns.
struct TensorView {
    std::string name;
    Dtype dtype = Dtype::f32;
    std::vector<std::uint64_t> shape;
    std::span<const std::byte> data;

    std::size_t count() const { return data.size() / size_of(dtype); }
};

/// `__metadata__`: strings to strings.
using Metadata = std::map<std::string, std::string>;

/// A file taken apart. The tensors lie in file order and point into the bytes that were read.
struct SafetensorsFile {
    Metadata metadata;
    std::vector<TensorView> tensors;

    /// Null where there is no such tensor.
    const TensorView* find(std::string_view name) const;
};

/// Takes a whole file apart (8-byte little-endian header length, JSON header, data) and trusts nothing in it: every
/// size is checked against the bytes that are there before anything is allocated for it. Refused in one sentence: a
/// file cut short, trailing bytes, gaps, overlaps, sizes that do not fit shape and dtype, dtypes other than the four,
/// keys twice, text that is not UTF-8, and more tensors, dimensions or nesting than any weights have.
Result<SafetensorsFile> read_safetensors(std::span<const std::byte> file);

/// Receives the bytes of a writer piece by piece; the first failure ends the writing and is passed on.
using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;

/// Writes a file that read_safetensors takes: the tensors one behind another in the order given, never copied. Names
/// must differ, and every data.size() be the product of its shape and the size of its dtype.
Result<void> write_safetensors(const Metadata& metadata, std::span<const TensorView> tensors, const ByteSink& sink);

/// True if a tensor holds neither infinities nor NaN.
bool all_finite(const TensorView& tensor);

/// Every element of an F32, F16 or BF16 tensor as a float, into `out` [tensor.count()].
void to_floats(const TensorView& tensor, float* out);

/// IEEE half precision and bfloat16 by integer arithmetic alone, the same on every machine: widening is exact,
/// narrowing rounds to nearest, ties to even, overflows to infinity and keeps a NaN a NaN.
float from_f16(std::uint16_t bits);
float from_bf16(std::uint16_t bits);
std::uint16_t to_f16(float value);
std::uint16_t to_bf16(float value);

}  // namespace folio
