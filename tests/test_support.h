#pragma once

#include <cassert>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/ops/kernels/microkernels.h"
#include "core/ops/ops.h"

namespace folio::test {

/// True under sanitizers and emulation, where what the release build tries in every combination is tried once.
#ifdef FOLIO_SLOW_BUILD
inline constexpr bool slow_build = true;
#else
inline constexpr bool slow_build = false;
#endif

/// The same numbers on every machine and in every run.
class Random {
public:
    explicit Random(std::uint64_t seed) : seed_(seed) {}

    std::uint32_t word() { return philox_word(seed_, index_++, 0, static_cast<Purpose>(0)); }
    /// Uniform in 0 .. end - 1.
    int below(int end) { return static_cast<int>(word() % static_cast<std::uint32_t>(end)); }
    /// N(0, 1), by Box and Muller.
    double normal() {
        const double radius = std::sqrt(-2 * std::log(uniform(word())));
        return radius * std::cos(6.283185307179586 * uniform(word()));
    }
    template <class T = double>
    std::vector<T> normals(std::size_t count, double scale = 1) {
        std::vector<T> values(count);
        for (T& value : values) value = static_cast<T>(scale * normal());
        return values;
    }
    std::vector<int> integers(std::size_t count, int end) {
        std::vector<int> values(count);
        for (int& value : values) value = below(end);
        return values;
    }

private:
    std::uint64_t seed_, index_ = 0;
};

/// A file of golden numbers (tests/golden/README.md).
inline std::filesystem::path golden_path(const std::string& name) {
    return std::filesystem::path(FOLIO_SOURCE_DIR) / "tests/golden" / name;
}

inline std::string golden_bytes(const std::string& name) {
    std::ifstream file(golden_path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline nlohmann::json golden_json(const std::string& name) { return nlohmann::json::parse(golden_bytes(name)); }

template <class To, class From>
std::vector<To> converted(const std::vector<From>& values) {
    return std::vector<To>(values.begin(), values.end());
}

/// Values as a matrix [rows, cols], row by row.
template <class T>
MatrixView<T> as_matrix(std::vector<T>& values, int rows, int cols) {
    assert(values.size() >= static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    return {values.data(), rows, cols};
}

/// Rotation angles [positions, head_dim] = cos | sin, base 10000.
template <class T>
std::vector<T> rope_table(int positions, int head_dim) {
    std::vector<T> table(static_cast<std::size_t>(positions) * static_cast<std::size_t>(head_dim));
    const int half = head_dim / 2;
    for (int p = 0; p < positions; ++p) {
        for (int i = 0; i < half; ++i) {
            const double angle = p * std::pow(10000.0, -2.0 * i / head_dim);
            T* row = table.data() + static_cast<std::ptrdiff_t>(p) * head_dim;
            row[i] = static_cast<T>(std::cos(angle));
            row[half + i] = static_cast<T>(std::sin(angle));
        }
    }
    return table;
}

}  // namespace folio::test
