#pragma once

#include <cstdint>
#include <string>

#include "core/sampling/sampler.h"
#include "core/weights/vocabulary.h"

namespace folio {

/// A step as a line of JSON, byte for byte the one that the page saves: numbers of at most six digits, of which the
/// library would write some with seventeen. NaN becomes null.
std::string trace_line(const Frame& frame, const Vocabulary& vocabulary, std::uint64_t sample);

}  // namespace folio
