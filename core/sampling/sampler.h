#pragma once

#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "core/sampling/defaults.h"
#include "core/sampling/edits.h"

namespace folio {

/// What a sample is to be made of. The text has given.size() places.
struct SamplingRequest {
    SamplingOptions options;
    std::vector<int> given;    // ids that are fixed from the start, -1 where a place is open
    std::vector<int> text;     // empty, or as long: a text that goes into noise first, in `steps` steps, and comes back
    std::vector<Edit> edits;   // applied after their steps, in this order within a step
    std::uint64_t sample = 0;  // its number among samples of the same seed
};

/// Bits of Frame::flags.
enum PlaceFlag : std::uint8_t {
    place_fixed = 1,     // holds a character
    place_given = 2,     // that nobody may touch
    place_fresh = 4,     // fixed in this very step
    place_reopened = 8,  // was noised or opened again, and is open still
};

/// The text as it stands after a step, place by place.
struct Frame {
    int step = 0;
    int steps = 0;  // all in all, as far as is known: samplers that fix more than they must come to fewer
    bool done = false;
    int window_first = 0, window_length = 0;  // the places that the last pass saw

    std::vector<int> id;                    // [length] -1: open
    std::vector<std::uint8_t> flags;        // [length]
    std::vector<float> probability;         // [length] of the character when it was fixed, at temperature 1; 0: open
    std::vector<float> entropy;             // [length] nats, of the last pass that saw the place open; 0: none has
    std::vector<int> top_id;                // [length, 4] the likeliest then, temperature 1; -1: none
    std::vector<float> top_probability;     // [length, 4]
};

/// All that a sampler needs to go on from a step: bytes, to be kept and handed back as they are. What a pass said of the
/// places that are open (entropy and the likeliest) is not among it: after restore() it is missing until the next pass.
using State = std::vector<std::uint8_t>;

/// A text coming into being, one network pass a step. Pausing is not stepping, going back is restore(), and a fork is
/// restore() and an edit: randomness is addressed by seed, sample, place and step, so there is no other state.
class Sampler {
public:
    virtual ~Sampler() = default;

    /// Takes one step and gives the frame after it; once done, the same frame again. After an error nothing has changed.
    virtual Result<Frame> step() = 0;
    virtual bool done() const = 0;
    virtual Frame frame() const = 0;

    /// Applies an edit now, whatever its step. Edits after the last step make the text undone: more steps follow.
    virtual Result<void> edit(const Edit& edit) = 0;

    virtual State save() const = 0;
    /// Takes the state of a sampler of the same model and request; refuses, unchanged, bytes that cannot be one.
    virtual Result<void> restore(const State& state) = 0;
};

}  // namespace folio
