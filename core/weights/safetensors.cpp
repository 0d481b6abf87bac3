#include "core/weights/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "core/base/text.h"
#include "core/weights/json.h"

namespace folio {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors are read and written in place");

constexpr std::uint64_t longest_header = 16 << 20;
constexpr std::size_t most_tensors = 8192;
constexpr std::size_t most_dimensions = 8;

struct DtypeFacts {
    Dtype dtype;
    std::string_view name;
    std::size_t size;
};
constexpr std::array<DtypeFacts, 4> dtypes{{
    {Dtype::f32, "F32", 4},
    {Dtype::f16, "F16", 2},
    {Dtype::bf16, "BF16", 2},
    {Dtype::i8, "I8", 1},
}};

template <class T>
T load(std::span<const std::byte> data, std::size_t index) {
    T value;
    std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
    return value;
}

/// A tensor as the header claims it, its data still missing; `end` goes where the claim says that the data ends.
Result<TensorView> read_claim(const std::string& name, const json& claim, std::uint64_t& begin, std::uint64_t& end) {
    const auto refuse = [&](const std::string& why) { return fail("its tensor " + quote(name) + " " + why); };
    if (!claim.is_object() || claim.size() != 3 || !claim.contains("dtype") || !claim.contains("shape") ||
        !claim.contains("data_offsets")) {
        return refuse("is not described by just a dtype, a shape and data_offsets");
    }
    const json &dtype = claim["dtype"], &shape = claim["shape"], &offsets = claim["data_offsets"];
    if (!dtype.is_string()) return refuse("has a dtype that is no string");
    const auto& dtype_name = dtype.get_ref<const std::string&>();
    const auto facts =
        std::find_if(dtypes.begin(), dtypes.end(), [&](const DtypeFacts& known) { return known.name == dtype_name; });
    if (facts == dtypes.end()) {
        return refuse("has the dtype " + quote(dtype_name) + ", but only F32, F16, BF16 and I8 are known");
    }

    const auto all_unsigned = [](const json& list) {
        return list.is_array() &&
               std::all_of(list.begin(), list.end(), [](const json& value) { return value.is_number_unsigned(); });
    };
    if (!all_unsigned(shape)) return refuse("has a shape that is no list of whole numbers");
    if (shape.size() > most_dimensions) {
        return refuse("has more than " + std::to_string(most_dimensions) + " dimensions");
    }
    if (!all_unsigned(offsets) || offsets.size() != 2) return refuse("has data_offsets that are no two whole numbers");
    begin = offsets[0].get<std::uint64_t>();
    end = offsets[1].get<std::uint64_t>();
    if (begin > end) return refuse("ends before it begins");

    TensorView tensor{name, facts->dtype, {}, {}};
    std::uint64_t bytes = facts->size;
    bool fits = true;
    for (const json& dimension : shape) {
        const auto extent = dimension.get<std::uint64_t>();
        tensor.shape.push_back(extent);
        fits = fits && !__builtin_mul_overflow(bytes, extent, &bytes);
    }
    if (!fits || bytes != end - begin) {
        return refuse("takes " + std::to_string(end - begin) + " bytes, which its shape and dtype contradict");
    }
    return tensor;
}

Result<Metadata> read_strings(const json& object) {
    if (!object.is_object()) return fail("its __metadata__ is no JSON object");
    Metadata metadata;
    for (const auto& [key, value] : object.items()) {
        if (!value.is_string()) return fail("its metadata " + quote(key) + " is no string");
        metadata.emplace(key, value.get_ref<const std::string&>());
    }
    return metadata;
}

}  // namespace

std::size_t size_of(Dtype dtype) { return dtypes[static_cast<std::size_t>(dtype)].size; }
std::string_view name_of(Dtype dtype) { return dtypes[static_cast<std::size_t>(dtype)].name; }

const TensorView* SafetensorsFile::find(std::string_view name) const {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const TensorView& tensor) { return tensor.name == name; });
    return found == tensors.end() ? nullptr : &*found;
}

Result<SafetensorsFile> read_safetensors(std::span<const std::byte> file) {
    if (file.size() < 8) {
        return fail("it has only " + std::to_string(file.size()) + " bytes, too few for safetensors");
    }
    const auto header_length = load<std::uint64_t>(file, 0);
    if (header_length > longest_header) {
        return fail("it is no safetensors file: it claims a header of " + std::to_string(header_length) + " bytes");
    }
    if (header_length > file.size() - 8) {
        return fail("it is cut short: it ends within its header");
    }
    const std::string_view header(reinterpret_cast<const char*>(file.data()) + 8, header_length);
    const std::span<const std::byte> data = file.subspan(8 + header_length);

    const auto parsed = parse_json(header, "its header");
    if (!parsed) return tl::unexpected(parsed.error());
    if (!parsed->is_object()) return fail("its header is no JSON object");
    if (parsed->size() > most_tensors) {
        return fail("it claims " + std::to_string(parsed->size()) + " tensors, more than the " +
                    std::to_string(most_tensors) + " that Folio takes on");
    }

    struct Claim {
        std::uint64_t begin, end;
        TensorView tensor;
    };
    std::vector<Claim> claims;
    SafetensorsFile result;
    for (const auto& [name, value] : parsed->items()) {
        if (name == "__metadata__") {
            auto metadata = read_strings(value);
            if (!metadata) return tl::unexpected(metadata.error());
            result.metadata = std::move(*metadata);
            continue;
        }
        std::uint64_t begin = 0, end = 0;
        auto tensor = read_claim(name, value, begin, end);
        if (!tensor) return tl::unexpected(tensor.error());
        claims.push_back({begin, end, std::move(*tensor)});
    }
    std::sort(claims.begin(), claims.end(),
              [](const Claim& a, const Claim& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });

    std::uint64_t place = 0;
    for (Claim& claim : claims) {
        const std::string name = quote(claim.tensor.name);
        if (claim.begin < place) return fail("its tensor " + name + " overlaps another");
        if (claim.begin > place) return fail("it has a gap before its tensor " + name);
        if (claim.end > data.size()) {
            return fail("it is cut short: it ends before its tensor " + name + " does");
        }
        claim.tensor.data = data.subspan(claim.begin, claim.end - claim.begin);
        place = claim.end;
        result.tensors.push_back(std::move(claim.tensor));
    }
    if (place != data.size()) {
        return fail("it has " + std::to_string(data.size() - place) + " bytes behind its last tensor");
    }
    return result;
}

Result<void> write_safetensors(const Metadata& metadata, std::span<const TensorView> tensors, const ByteSink& sink) {
    std::string header = "{\"__metadata__\":" + json(metadata).dump(-1, ' ', false, json::error_handler_t::replace);
    std::uint64_t place = 0;
    for (const TensorView& tensor : tensors) {
        std::uint64_t bytes = size_of(tensor.dtype);
        std::string shape;
        for (const std::uint64_t extent : tensor.shape) {
            bytes *= extent;
            shape += (shape.empty() ? "" : ",") + std::to_string(extent);
        }
        assert(bytes == tensor.data.size());
        header += "," + json(tensor.name).dump(-1, ' ', false, json::error_handler_t::replace) + ":{\"dtype\":\"" +
                  std::string(name_of(tensor.dtype)) + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                  std::to_string(place) + "," + std::to_string(place + bytes) + "]}";
        place += bytes;
    }
    header += "}";
    // Padding keeps the data aligned for readers that map the file.
    header.append((8 - header.size() % 8) % 8, ' ');

    const std::uint64_t length = header.size();
    auto written = sink(std::as_bytes(std::span(&length, 1)));
    if (written) written = sink(std::as_bytes(std::span(header)));
    for (std::size_t i = 0; written && i < tensors.size(); ++i) written = sink(tensors[i].data);
    return written;
}

bool all_finite(const TensorView& tensor) {
    // All ones in the exponent: infinity or NaN, in any of the formats.
    const auto none = [&]<class T>(T exponent) {
        bool finite = true;
        for (std::size_t i = 0; i < tensor.count(); ++i) finite &= (load<T>(tensor.data, i) & exponent) != exponent;
        return finite;
    };
    switch (tensor.dtype) {
        case Dtype::f32: return none(std::uint32_t{0x7F800000});
        case Dtype::f16: return none(std::uint16_t{0x7C00});
        case Dtype::bf16: return none(std::uint16_t{0x7F80});
        case Dtype::i8: break;
    }
    return true;
}

void to_floats(const TensorView& tensor, float* out) {
    assert(tensor.dtype != Dtype::i8);
    const std::size_t count = tensor.count();
    if (tensor.dtype == Dtype::f32) {
        if (count > 0) std::memcpy(out, tensor.data.data(), tensor.data.size());
    } else if (tensor.dtype == Dtype::f16) {
        for (std::size_t i = 0; i < count; ++i) out[i] = from_f16(load<std::uint16_t>(tensor.data, i));
    } else {
        for (std::size_t i = 0; i < count; ++i) out[i] = from_bf16(load<std::uint16_t>(tensor.data, i));
    }
}

float from_f16(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
    const std::uint32_t exponent = bits >> 10 & 0x1F;
    const std::uint32_t fraction = bits & 0x3FF;
    if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
    if (exponent > 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
    if (fraction == 0) return std::bit_cast<float>(sign);
    // Subnormal, fraction * 2^-24: the leading one moves to the hidden bit.
    const auto shift = static_cast<std::uint32_t>(std::countl_zero(fraction)) - 21;
    return std::bit_cast<float>(sign | (113 - shift) << 23 | (fraction << shift & 0x3FF) << 13);
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

namespace {

/// value / 2^shift, to nearest, ties to even.
std::uint32_t shift_right(std::uint32_t value, std::uint32_t shift) {
    const std::uint32_t half = 1u << (shift - 1), odd = value >> shift & 1;
    return (value + half - 1 + odd) >> shift;
}

}  // namespace

std::uint16_t to_f16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    std::uint32_t half;
    if (magnitude > 0x7F800000) {
        half = 0x7E00 | (magnitude >> 13 & 0x3FF);
    } else if (magnitude >= 0x47800000) {  // 2^16 and beyond
        half = 0x7C00;
    } else if (magnitude >= 0x38800000) {  // 2^-14: normal; a carry of the rounding runs into the exponent as it should
        half = shift_right(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000) {  // 2^-25: subnormal, or half of the smallest
        half = shift_right((magnitude & 0x7FFFFF) | 0x800000, 126 - (magnitude >> 23));
    } else {
        half = 0;
    }
    return static_cast<std::uint16_t>(sign | half);
}

std::uint16_t to_bf16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
    return static_cast<std::uint16_t>(shift_right(bits, 16));
}

}  // namespace folio
