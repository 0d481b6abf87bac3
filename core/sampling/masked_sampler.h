#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/process/masked.h"
#include "core/process/opinion.h"
#include "core/sampling/draw.h"
#include "core/sampling/sampler.h"
#include "core/sampling/unmasking.h"

namespace folio {

/// Unmasks a text by any of the rules of unmasking.h.
///
/// **Blocks.** The network sees a window of min(length, seq_len) places. A block is what happens to the open places of one
/// window, in at most `steps` passes. The next block takes the first open place and the open ones within half a window
/// behind it, and as much of the known text around them as the window holds: where all after them is open too, their
/// whole other half is the tail of the text before (half: as much context as new text, each place of a long text is then
/// written with between half a window and a whole one to its left); where known text follows, both sides count alike.
///
/// **Edits.** What is opened inside the window of a running block shares the passes that it has left. Everything else
/// opened again gets a block of its own, at the pace of the whole: ceil(steps * open places / window) passes. Edits due
/// later than the last step are applied when nothing is open any more.
///
/// **From a text.** Its places are hidden in an order drawn by chance, evenly over `steps` steps that need no pass.
class MaskedSampler final : public Sampler {
public:
    /// Fails on ids outside the vocabulary, [MASK] among given characters, edits outside the text, options out of range.
    static Result<MaskedSampler> create(MaskedModel model, SamplingRequest request);

    bool done() const override;

private:
    struct Window {
        int first = 0, length = 0;
    };
    MaskedSampler(MaskedModel model, SamplingRequest request);

    Result<void> advance() override;
    int steps_known() const override;

    bool noising() const { return now_.step < noising_steps_; }
    bool in_block(int place) const;
    /// The window of the next block, given that no place before `from` is open; length 0 where none is.
    Window window_for(const std::vector<std::uint8_t>& flags, int from) const;
    int passes_for(const std::vector<std::uint8_t>& flags, Window window) const;

    void hide_some();
    void begin_block();
    Result<void> unmask();

    MaskedModel model_;
    int noising_steps_ = 0;
    std::vector<int> noising_rank_;  // [length] the place's turn to be hidden
    // Of a pass, kept so that the next one allocates nothing.
    std::vector<int> ids_, times_;
    std::vector<Candidate> candidates_;
};

}  // namespace folio
