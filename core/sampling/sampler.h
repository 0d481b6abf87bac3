#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/philox.h"
#include "core/base/result.h"
#include "core/model/denoiser.h"
#include "core/process/prediction.h"
#include "core/process/process_config.h"
#include "core/sampling/edits.h"
#include "core/sampling/options.h"
#include "core/sampling/proofread.h"
#include "core/sampling/state.h"

namespace folio {

/// Request for a sample. The text has conditioned.size() positions.
struct SamplingRequest {
    SamplingOptions options;
    std::vector<int> conditioned;  // ids that are given, -1 where a position is to be filled
    std::vector<int> text;     // empty, or as long: a text that goes into noise first, in `steps` steps, and comes back
    int before = -1;           // the unseen character before the text, for models that go from left to right; -1: none
    std::vector<Edit> edits;   // applied after their steps, in this order within a step
    std::uint64_t sample = 0;  // its number among samples of the same seed
};

/// Bits of Frame::flags.
enum PositionFlag : std::uint8_t {
    position_revealed = 1,     // holds a character
    position_conditioned = 2,  // that was given and stays
    position_new = 4,          // revealed in this very step
    position_reopened = 8,     // was noised or opened again, and is not revealed yet
};

/// The text as it stands after a step, position by position.
struct Frame {
    int step = 0;
    int steps = 0;  // all in all, as far as is known: samplers that reveal more than they must come to fewer
    bool done = false;
    int window_first = 0, window_length = 0;  // the positions that the last pass saw

    std::vector<int> id;                 // [length] -1: unrevealed
    std::vector<std::uint8_t> flags;     // [length]
    std::vector<float> probability;      // [length] of the character when it was revealed, at temperature 1; else 0
    std::vector<float> entropy;          // [length] nats, of the last pass that predicted the position; 0: none has
    std::vector<int> top_id;             // [length, 4] the most likely then, temperature 1; -1: none
    std::vector<float> top_probability;  // [length, 4]

    int edits_applied = 0;             // of those that the request schedules
    int passes_saved = 0;              // that an early stop has left out
    std::vector<float> proofread_nll;  // [length] of a proofreading step: -log p of each character, NaN where there is
                                       // none; else empty
};

/// State of one sample, one network pass a step. To go back is restore(), a fork is restore() and an edit: randomness
/// is addressed by seed, sample, position and step, so there is no hidden state. What a step does is the process's own
/// business (masked_sampler.h ...); what a position is, edits and saved states are the same for all.
class Sampler {
public:
    Sampler(Sampler&&) = default;
    Sampler& operator=(Sampler&&) = default;
    virtual ~Sampler() = default;

    /// Takes one step, in time that does not grow with the text; once done, none. After an error nothing has changed.
    Result<void> step();
    /// True when every position is revealed.
    virtual bool done() const;
    /// The text as it stands, in time that grows with it.
    Frame frame() const;

    /// Applies an edit now, whatever its step. Edits after the last step make the text undone: more steps follow.
    Result<void> edit(const Edit& edit);

    State save() const;
    /// Takes the state of a sampler of the same model and request; refuses, unchanged, bytes that cannot be one.
    Result<void> restore(const State& state);
    /// The state of a recorded step of this sample, all of whose passes are of one block, without edits or
    /// proofreading.
    State recorded_state(const RecordedStep& recorded) const;

    /// Ids that are given, -1 where a position is to be filled.
    std::span<const int> conditioned() const { return request_.conditioned; }
    /// All steps, done and to come, as far as is known.
    virtual std::int64_t planned_steps() const = 0;
    /// The logits [positions, vocab_size] of the last pass; empty before the first.
    std::span<const float> logits() const { return logits_; }

protected:
    /// Fails on ids that are not among the vocab_size characters without `excluded` ([MASK]; -1: none), edits outside
    /// the text, options out of range, samplers of another process. Sorts the edits, and fills in the process's own
    /// sampler.
    static Result<void> check(SamplingRequest& request, ProcessKind process, int vocab_size, int excluded);
    /// A checked request: what is given is revealed, no edit applied yet.
    Sampler(SamplingRequest request, const ModelConfig& config, int excluded);

    /// One step, which it counts. Where it fails it has changed no position, and the counters are set back.
    virtual Result<void> advance() = 0;
    /// Called after every step and edit.
    virtual void text_changed() {}
    /// State of a process besides now_, to save and to restore.
    virtual std::size_t extra_state_size() const { return 0; }
    virtual void save_extra(std::uint8_t*) const {}
    virtual void load_extra(const std::uint8_t*) {}
    /// Noises the unconditioned positions of `from` to `to` again: here `percent` of them, chosen by chance, are
    /// hidden.
    virtual void renoise(int from, int to, int percent);
    /// Positions that a pass sees.
    int window_length() const { return std::min(length(), seq_len_); }

    /// Number of unrevealed positions.
    int unrevealed_count() const { return unrevealed_; }
    /// The first unrevealed position; length() where none is.
    int first_unrevealed();
    int length() const { return static_cast<int>(request_.conditioned.size()); }
    std::uint32_t word(int position, Purpose purpose, int element) const;
    void reveal(int position, int id, float probability);
    void hide(int position);
    void apply_due_edits();
    /// Keeps the prediction that a row of logits makes for an unrevealed position, and returns it.
    Result<Prediction> record_prediction(int position, std::span<const float> logits);
    /// Prediction of the last pass in which the position was unrevealed.
    const Prediction& prediction_of(int position) const { return predictions_[position]; }

    SamplingRequest request_;
    int vocab_size_, excluded_;
    SampleProgress now_;
    std::vector<float> logits_;
    std::vector<double> probability_;   // of the row that record_prediction() had last
    std::vector<float> proofread_nll_;  // of the last step; see Frame

private:
    void apply(const Edit& edit);
    /// True for progress that a sample of this request can have.
    bool is_possible(const SampleProgress& progress) const;

    int seq_len_;
    int unrevealed_ = 0;                   // number of unrevealed positions
    int first_unrevealed_ = 0;             // no position before it is unrevealed
    std::vector<Prediction> predictions_;  // [length] of the last pass that predicted the position
};

bool is_revealed(std::uint8_t flags);
bool is_unrevealed(std::uint8_t flags);
bool is_conditioned(std::uint8_t flags);
int count_unrevealed(const std::vector<std::uint8_t>& flags, int first, int length);
/// a * b / c, rounded up.
int ceil_mul_div(int a, int b, int c);

/// The sampler of the process that the model is of, whose finished texts `proofreader` reads where there is one. Fails
/// as its create() does. An autoregressive model has no proofreader. Denoiser and proofreader must outlive it.
Result<std::unique_ptr<Sampler>> make_sampler(Denoiser& denoiser, const ProcessConfig& process, SamplingRequest request,
                                              const Proofreader* proofreader = nullptr);

// make_masked_sampler, make_gaussian_sampler ...
#define FOLIO_SAMPLER(kind, name)                                                                            \
    Result<std::unique_ptr<Sampler>> make_##kind##_sampler(Denoiser& denoiser, const ProcessConfig& process, \
                                                           SamplingRequest request, const Proofreader* proofreader);
FOLIO_FOR_EACH_PROCESS(FOLIO_SAMPLER)
#undef FOLIO_SAMPLER

/// A sampler of one process as one of any.
template <class OneSampler>
Result<std::unique_ptr<Sampler>> any_sampler(Result<OneSampler> sampler) {
    if (!sampler) return tl::unexpected<Error>(sampler.error());
    return std::make_unique<OneSampler>(std::move(*sampler));
}

}  // namespace folio
