#include "native/npy.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "native/failure.h"

namespace folio {
namespace {

constexpr std::string_view magic{"\x93NUMPY\x01\x00", 8};

}  // namespace

std::string npy_header(const std::array<std::size_t, 3>& shape) {
    std::string dictionary =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {}), }}", shape[0], shape[1], shape[2]);
    // The values begin at a multiple of 64.
    dictionary.append(63 - (magic.size() + 2 + dictionary.size()) % 64, ' ');
    dictionary += '\n';
    std::string header(magic);
    header += {static_cast<char>(dictionary.size() & 0xFF), static_cast<char>(dictionary.size() >> 8)};
    return header + dictionary;
}

Npy parse_npy(std::string_view bytes, const std::string& what) {
    const auto refuse = [&] {
        stop(fmt::format("{} is not float32 [batch, positions, characters] in NumPy's format 1.0; write it with "
                         "numpy.save(FILE, x.astype('<f4'))", what));
    };
    if (bytes.size() < magic.size() + 2 || !bytes.starts_with(magic)) refuse();
    const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])); };
    const std::size_t begin = magic.size() + 2, size = byte(8) | byte(9) << 8;
    if (bytes.size() < begin + size) refuse();
    const std::string_view dictionary = bytes.substr(begin, size), values = bytes.substr(begin + size);
    if (dictionary.find("'descr': '<f4'") == dictionary.npos || dictionary.find("'fortran_order': False") == dictionary.npos) refuse();

    constexpr std::string_view key = "'shape': (";
    const std::size_t open = dictionary.find(key);
    if (open == dictionary.npos) refuse();
    Npy npy;
    const char *at = dictionary.data() + open + key.size(), *const end = dictionary.data() + dictionary.size();
    std::size_t count = 1;
    for (std::size_t& extent : npy.shape) {
        const auto [next, error] = std::from_chars(at, end, extent);
        // No extent is larger than the file, so that their product cannot overflow unseen.
        if (error != std::errc() || extent == 0 || extent > bytes.size() || (count *= extent) > bytes.size()) refuse();
        at = next;
        while (at != end && (*at == ',' || *at == ' ')) ++at;
    }
    if (at == end || *at != ')' || values.size() != count * sizeof(float)) refuse();
    npy.values.resize(count);
    std::memcpy(npy.values.data(), values.data(), values.size());
    return npy;
}

}  // namespace folio
