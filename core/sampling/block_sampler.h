#pragma once

#include "core/sampling/sampler.h"

namespace folio {

/// Base of the samplers that work on many positions at once.
///
/// **Blocks.** The network sees a window of min(length, seq_len) positions. A block reveals the unrevealed
/// positions of one window in at most `steps` passes. The next block takes the first unrevealed position and those
/// within half a window behind it, and as much of the revealed text around them as the window holds: where nothing
/// after them is revealed, their whole other half is the tail of the text before (half: as much context as new text,
/// each position of a long text is then written with between half a window and a whole one to its left); where revealed
/// text follows, both sides count alike.
///
/// **Edits.** What is opened inside the window of a running block shares the passes that it has left. Everything else
/// opened again gets a block of its own, at the pace of the whole: ceil(steps * unrevealed positions / window) passes,
/// unless the process has another pace. Edits due later than the last step are applied once everything is revealed.
///
/// **Proofreading.** When everything is revealed and no edit is due, a step without a pass of the model has the
/// proofreader rate every character and hides the least likely again (proofread.h); they get the passes that all opened
/// again gets. `rounds` times; a round that changes no character is the last.
///
/// **From a text.** It goes into noise over `steps` steps that need no pass, and is sampled anew then.
class BlockSampler : public Sampler {
public:
    bool done() const override;
    std::int64_t planned_steps() const override;

protected:
    /// A checked request. `most_passes`: per block, however many are asked for. `proofreader` may be null.
    BlockSampler(SamplingRequest request, const ModelConfig& config, int excluded, int most_passes,
                 const Proofreader* proofreader);

    /// A step of a text's way into noise.
    virtual void noise() = 0;
    /// Pass pass() of passes() over the window of the block: reveals some of its positions, all that are left in the
    /// last.
    virtual Result<void> unmask_step() = 0;
    /// True if a block with unrevealed positions takes all its passes.
    virtual bool takes_all_passes() const = 0;
    struct Window {
        int first = 0, length = 0;
    };
    /// Passes of a block whose unrevealed positions were all opened again: here their share of the window's.
    virtual int passes_again(const std::vector<std::uint8_t>& flags, Window window) const;
    /// Opens a position that the proofreader found unlikely.
    virtual void reopen(int position) { hide(position); }
    /// Passes of a round that opens this many positions of one window.
    virtual int passes_of_round(int opened) const { return ceil_mul_div(steps_, opened, window_length()); }

    int passes() const { return now_.block_end - now_.block_begin; }
    int pass() const { return now_.step - now_.block_begin; }
    /// True if the position was unrevealed when the block began, or since.
    bool in_block(int position) const;
    /// True during a round: the unrevealed positions were opened by the proofreader.
    bool proofreading() const { return !now_.round_text.empty(); }
    /// Options of the draws of this pass, with its temperature on the line from the first pass to the last.
    SamplingOptions options_of_pass() const;
    bool noising() const { return now_.step < noising_steps_; }

    int noising_steps_ = 0;
    int steps_;  // passes of a whole block

private:
    Result<void> advance() override;
    /// The window of the next block, given that every position before `from` is revealed; length 0 where none is.
    Window window_for(const std::vector<std::uint8_t>& flags, int from) const;
    int passes_for(const std::vector<std::uint8_t>& flags, Window window) const;
    void begin_block();

    bool is_complete() const { return !noising() && Sampler::done(); }
    bool round_is_due() const { return proofreader_ && now_.round < request_.options.rounds; }
    Result<void> proofread();
    void text_changed() override;
    std::int64_t steps_of_rounds() const;
    int count_unconditioned() const;
    int count_unrevealed_in_window() const { return count_unrevealed(now_.flags, now_.window_first, window_length()); }

    const Proofreader* proofreader_;
};

}  // namespace folio
