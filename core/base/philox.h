#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace folio {

/// Purpose of a random number. Part of the counter, so its values are fixed: append, never reuse or renumber.
enum class Purpose : std::uint32_t {
    window = 1,         // where a training window starts
    batch_draws = 2,    // of a training batch: 0 offset of mask counts or times, 1 self-conditioning, 2 + b prompt of b
    mask_position = 3,  // which positions of a window are masked
    initialise = 4,     // parameters; step = tensor
    draw = 5,           // a character out of its distribution
    reveal = 6,         // whether ancestral sampling reveals a position
    renoise = 7,        // which positions an edit or a remasking sampler noises
    window_length = 8,  // a shorter training window
    evaluate = 9,       // mask positions of the likelihood estimator
    noise_text = 10,    // the order in which a given text goes into noise
    quantise = 11,      // signs of the turn of the residual stream
    input_noise = 12,   // characters that an autoregressive model is shown wrongly in training
    diffuse = 13,       // eps of a character that goes into Gaussian noise
    pure_noise = 14,    // what a Gaussian sample starts from
    reverse = 15,       // the noise of its reverse step
    churn = 16,         // the noise before that step
    conditioned = 17,   // eps of a conditioned position
    dropout = 64,       // + 2 * layer + {0 attention, 1 mlp}
};

struct Words {
    std::uint32_t word[4];
};

/// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a bijection of the counter
/// {index, step, purpose} under the key `seed`. Numbers are addressed, never consumed.
FOLIO_HOST_DEVICE constexpr Words philox(std::uint64_t seed, std::uint64_t index, std::uint32_t step,
                                         std::uint32_t purpose) {
    std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
    std::uint32_t c2 = step, c3 = purpose;
    std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
        const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
        const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = static_cast<std::uint32_t>(p1);
        c2 = n2;
        c3 = static_cast<std::uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

FOLIO_HOST_DEVICE constexpr Words philox(std::uint64_t seed, std::uint64_t index, std::uint32_t step, Purpose purpose) {
    return philox(seed, index, step, static_cast<std::uint32_t>(purpose));
}

/// The word of element `index` when every element of an array takes one word (four elements share a counter).
FOLIO_HOST_DEVICE constexpr std::uint32_t philox_word(std::uint64_t seed, std::uint64_t index, std::uint32_t step,
                                                      Purpose purpose) {
    return philox(seed, index / 4, step, purpose).word[index % 4];
}

/// Uniform in (0, 1) with 32 bits: never 0, never 1.
FOLIO_HOST_DEVICE constexpr double uniform(std::uint32_t word) { return (word + 0.5) * (1.0 / 4294967296.0); }

}  // namespace folio
