#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace folio {

/// Three-dimensional float32 in NumPy's format, version 1.0, as other implementations read and write it.
struct Npy {
    std::array<std::size_t, 3> shape{};
    std::vector<float> values;
};

/// The header: all bytes before the values.
std::string npy_header(const std::array<std::size_t, 3>& shape);

/// A file's content; the end of the command in a sentence where it is anything else, or has no values at all. `what`
/// names the file.
Npy parse_npy(std::string_view bytes, const std::string& what);

}  // namespace folio
