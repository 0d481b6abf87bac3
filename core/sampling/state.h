#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/result.h"

namespace folio {

/// Numbers of a sample's progress, as a State has them.
struct SampleCounters {
    std::int32_t step = 0;
    std::int32_t edits_applied = 0;
    std::int32_t window_first = 0;
    std::int32_t block_begin = 0, block_end = 0;  // the steps after which the block begins and at which it must be over
    std::int32_t passes_saved = 0;
    std::int32_t round = 0;  // rounds of proofreading begun
};

/// A recorded step, from which a State can be made.
struct RecordedStep {
    int step = 0, steps = 0;
    std::vector<int> id, revealed_at;  // [length] -1 where unrevealed; the step that revealed it
    std::vector<float> probability;    // [length]
    std::vector<std::uint8_t> flags;   // [length] position_revealed and position_conditioned alone
};

/// All that a sampler needs to go on from a step: bytes, to be kept and handed back as they are. What a pass predicted
/// for unrevealed positions (entropy and the most likely) is not among it: after restore() it is missing until the
/// next pass.
using State = std::vector<std::uint8_t>;

/// SampleProgress of a sample, position by position: what a State holds besides the process's own part.
struct SampleProgress : SampleCounters {
    std::vector<int> id;              // [length] -1: unrevealed
    std::vector<int> revealed_at;     // [length] step; of no meaning where unrevealed
    std::vector<float> probability;   // [length]
    std::vector<std::uint8_t> flags;  // [length] revealed, conditioned, reopened
    std::vector<int> round_text;      // [length] text that the running round of proofreading began with; else empty
};

State pack_state(const SampleProgress& progress);

/// SampleProgress at the beginning of a state of a text of `length` positions, which `extra_size` bytes of the process
/// follow. Fails where the size or the head do not fit; the values are not checked.
Result<SampleProgress> unpack_state(std::span<const std::uint8_t> state, int length, std::size_t extra_size);

}  // namespace folio
