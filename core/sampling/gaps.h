#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/sampling/sampler.h"

namespace folio {

/// Texts with gaps: a mark such as `_` is one position to fill, `{A-B}` a gap of A to B of them, and `{{` a brace.
inline constexpr int most_gap_choices = 256;

/// A text with gaps in which the lengths of the open ones have been chosen.
struct GapChoice {
    std::vector<int> lengths;  // of the open gaps, as they come
    std::string text;          // with as many marks in their position; braces are still written twice
};

/// All choices of lengths, the first gap's changing slowest; of a text without open gaps the text itself. Fails, in a
/// sentence about wrong usage, on a gap that cannot be read, is reversed or longer than `seq_len`, on more than
/// most_gap_choices, and where the mark is a brace. The mark is one character of UTF-8.
Result<std::vector<GapChoice>> expand_gaps(std::string_view text, std::string_view mark, int seq_len);

/// Nats per character of what a finished sample has filled: -log p of the positions that were unrevealed at first, with
/// the probability at temperature 1 that each had when it was revealed. NaN where none was.
double filled_nll(const Frame& frame, std::span<const int> conditioned);

/// The same of the whole text by a proofreader.
Result<double> text_nll(const Proofreader& proofreader, std::span<const int> text);

/// The choice with the least nats per character; ties, and differences below 2^-16, to the one with fewer characters,
/// then to the one whose first gaps are shorter.
int best_choice(std::span<const GapChoice> choices, std::span<const double> nats_per_char);

}  // namespace folio
