#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/sampling/sampler.h"

namespace folio {

/// A sample in words, as a command line or a page asks for it.
struct RequestWords {
    std::string prompt;                    // how the text begins
    std::optional<std::string> text;       // instead of a prompt: a text with gaps, whose lengths are chosen (gaps.h)
    std::string mark = "_";                // the character that stands for a gap
    std::optional<std::string> from_text;  // a text that goes into noise first
    std::vector<std::string> edits;        // each as parse_edit reads it
};

/// The request that the words ask for: `options.length` positions that begin with the prompt, or as many as `text` or
/// `from_text` have. Fails in a sentence about wrong usage.
Result<SamplingRequest> read_request(const RequestWords& words, const SamplingOptions& options,
                                     const EncodeCharacter& encode);

}  // namespace folio
