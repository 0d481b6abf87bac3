#include "native/host/npy.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "native/host/failure.h"

namespace folio {
namespace {

constexpr std::string_view magic{"\x93NUMPY\x01\x00", 8};

}  // namespace

std::string npy_header(const std::array<std::size_t, 3>& shape) {
    std::string dictionary = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}), }}",
                                         shape[0], shape[1], shape[2]);
    // The values begin at a multiple of 64.
    dictionary.append(63 - (magic.size() + 2 + dictionary.size()) % 64, ' ');
    dictionary += '\n';
    std::string header(magic);
    header += {static_cast<char>(dictionary.size() & 0xFF), static_cast<char>(dictionary.size() >> 8)};
    return header + dictionary;
}

Npy parse_npy(std::string_view bytes, const std::string& what) {
    const auto refuse = [&](const std::string& why,
                            const char* remedy = "write it with numpy.save(FILE, numpy.ascontiguousarray(x, '<f4'))") {
        stop(fmt::format("{} cannot be used: {}; {}", what, why, remedy));
    };
    constexpr const char* again = "copy or write it again";
    if (!bytes.starts_with(magic.substr(0, 6))) refuse("it is no .npy file of NumPy");
    if (bytes.size() < magic.size() + 2) refuse("it is cut short within its header", again);
    if (!bytes.starts_with(magic)) refuse("it is of another version of NumPy's format than 1.0");
    const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])); };
    const std::size_t begin = magic.size() + 2, size = byte(8) | byte(9) << 8;
    if (bytes.size() < begin + size) refuse("it is cut short within its header", again);
    const std::string_view dictionary = bytes.substr(begin, size), values = bytes.substr(begin + size);
    if (dictionary.find("'descr': '<f4'") == dictionary.npos) refuse("its numbers are not float32, little-endian");
    if (dictionary.find("'fortran_order': False") == dictionary.npos)
        refuse("it is in Fortran order, the first axis running fastest");

    constexpr std::string_view key = "'shape': (";
    constexpr const char* wanted = "its shape is not [batch, positions, characters]";
    const std::size_t open = dictionary.find(key);
    if (open == dictionary.npos) refuse(wanted);
    Npy npy;
    const char *at = dictionary.data() + open + key.size(), *const end = dictionary.data() + dictionary.size();
    constexpr std::size_t most_values = std::size_t{1} << 40;
    std::size_t count = 1;
    for (std::size_t& extent : npy.shape) {
        const auto [next, error] = std::from_chars(at, end, extent);
        if (error != std::errc() || extent == 0) refuse(wanted);
        if (extent > most_values / count) refuse("its shape is too large");
        count *= extent;
        at = next;
        while (at != end && (*at == ',' || *at == ' ')) ++at;
    }
    if (at == end || *at != ')') refuse(wanted);
    if (values.size() != count * sizeof(float)) {
        refuse(fmt::format("{}, with {} bytes of values where its shape takes {}",
                           values.size() < count * sizeof(float) ? "it is cut short" : "it is too long", values.size(),
                           count * sizeof(float)),
               again);
    }
    npy.values.resize(count);
    std::memcpy(npy.values.data(), values.data(), values.size());
    return npy;
}

}  // namespace folio
