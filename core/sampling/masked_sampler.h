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

    Result<Frame> step() override;
    bool done() const override;
    Frame frame() const override;
    Result<void> edit(const Edit& edit) override;
    State save() const override;
    Result<void> restore(const State& state) override;

private:
    struct Window {
        int first = 0, length = 0;
    };
    /// What save() keeps.
    struct Progress {
        int step = 0;
        int edits_applied = 0;
        int window_first = 0;
        int block_begin = 0, block_end = 0;  // the steps after which the block begins and at which it must be over
        std::vector<int> id;
        std::vector<int> fixed_at;  // step; of no meaning where open
        std::vector<float> probability;
        std::vector<std::uint8_t> flags;  // fixed, given, reopened
    };

    MaskedSampler(MaskedModel model, SamplingRequest request);

    int length() const { return static_cast<int>(request_.given.size()); }
    int window_length() const;
    bool noising() const { return now_.step < noising_steps_; }
    bool in_block(int place) const;
    /// The window of the next block, given that no place before `from` is open; length 0 where none is.
    Window window_for(const std::vector<std::uint8_t>& flags, int from) const;
    int passes_for(const std::vector<std::uint8_t>& flags, Window window) const;
    int steps_known() const;
    std::uint32_t word(int place, Purpose purpose, int element) const;

    void hide_some();
    void begin_block();
    Result<void> unmask();
    void fix(int place, int id, float probability);
    void open(int place);
    void apply(const Edit& edit);
    void apply_due_edits();

    MaskedModel model_;
    SamplingRequest request_;
    int noising_steps_ = 0;
    std::vector<int> noising_rank_;  // [length] the place's turn to be hidden
    Progress now_;
    std::vector<Opinion> opinions_;  // [length] of the last pass that saw the place open
    std::vector<float> logits_;      // [window, vocab_size]
    // Of a pass, kept so that the next one allocates nothing.
    std::vector<int> ids_, times_;
    std::vector<Candidate> candidates_;
    std::vector<double> probability_;
};

}  // namespace folio
