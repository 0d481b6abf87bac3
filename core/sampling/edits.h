#pragma once

#include <functional>
#include <string_view>

#include "core/base/result.h"

namespace folio {

/// Something done to a text by hand between two steps. Positions count from 0, both ends belong to the region.
struct Edit {
    enum class Kind {
        noise,  // noises the region's unconditioned positions; what `percent` means, the process says: see
                // Sampler::renoise
        keep,   // characters in the region become conditioned: nothing changes them any more
        open,   // hides the whole region, conditioned or not
        put,    // writes character `id` at `from`, conditioned from then on
    };
    Kind kind = Kind::noise;
    int step = 0;  // applied after this step; 0: before the first pass
    int from = 0, to = 0;
    int percent = 100;
    int id = -1;
};

/// The id of a character, or the sentence that refuses it.
using EncodeCharacter = std::function<Result<int>(char32_t character)>;

/// Reads `noise:FROM-TO[:PERCENT]`, `keep:FROM-TO`, `open:FROM-TO` or `put:POSITION:CHARACTER` for a text of `length`
/// positions; `step` stays 0. CHARACTER is one code point of UTF-8, any at all. Fails in a sentence about wrong usage.
Result<Edit> parse_action(std::string_view text, int length, const EncodeCharacter& encode);

/// The same with `STEP:` before it.
Result<Edit> parse_edit(std::string_view text, int length, const EncodeCharacter& encode);

}  // namespace folio
