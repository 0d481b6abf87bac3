#pragma once

#include <immintrin.h>

#include <cstdint>

/// For the kernels on AMX tiles: all eight are used, 16 rows of 64 bytes each.
namespace folio::amx {

struct alignas(64) TileConfig {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t bytes_per_row[16] = {};
    std::uint8_t rows[16] = {};
};

constexpr TileConfig eight_full_tiles() {
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
        config.bytes_per_row[i] = 64;
        config.rows[i] = 16;
    }
    return config;
}

/// The tile shapes are a thread's state; a set that is already loaded costs nothing to keep.
inline void configure() {
    static constexpr TileConfig config =
        eight_full_tiles();  // in memory for good: GCC 12 believes that only 8 bytes are read
    thread_local bool configured = false;
    if (!configured) _tile_loadconfig(&config);
    configured = true;
}

}  // namespace folio::amx
