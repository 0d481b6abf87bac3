#include "core/sampling/sampler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/random_order.h"

namespace folio {

namespace {

constexpr int most_steps = 1 << 30;  // of a sample

bool is_character(int id, int vocab_size, int excluded) { return id >= 0 && id < vocab_size && id != excluded; }

bool fits(const Edit& edit, int length, int vocab_size, int excluded) {
    return edit.from >= 0 && edit.to >= edit.from && edit.to < length &&
           (edit.kind != Edit::Kind::put || is_character(edit.id, vocab_size, excluded));
}

}  // namespace

bool is_revealed(std::uint8_t flags) { return flags & position_revealed; }

bool is_unrevealed(std::uint8_t flags) { return !is_revealed(flags); }

bool is_conditioned(std::uint8_t flags) { return flags & position_conditioned; }

int count_unrevealed(const std::vector<std::uint8_t>& flags, int first, int length) {
    return static_cast<int>(std::count_if(flags.begin() + first, flags.begin() + first + length, is_unrevealed));
}

/// a * b / c, rounded up.
int ceil_mul_div(int a, int b, int c) { return static_cast<int>((static_cast<std::int64_t>(a) * b + c - 1) / c); }

Result<void> Sampler::check(SamplingRequest& request, ProcessKind process, int vocab_size, int excluded) {
    request.options.length = static_cast<int>(request.conditioned.size());
    if (request.conditioned.empty()) return fail("There is no text to sample: its length is 0.");
    if (auto ok = validate(request.options); !ok) return ok;
    SamplingOptions& options = request.options;
    if (!options.sampler) options.sampler = default_sampler(process);
    if (const SamplerName& sampler = sampler_names[static_cast<std::size_t>(*options.sampler)];
        sampler.process != process) {
        return fail("This model has no sampler " + std::string(sampler.name) + "; it has " + list_of_samplers(process) +
                    ".");
    }
    const std::size_t length = request.conditioned.size();
    if (!request.text.empty() && request.text.size() != length) {
        return fail("The text to go into noise must be as long as the text to come out of it.");
    }
    const auto foreign = [&](int id) { return id != -1 && !is_character(id, vocab_size, excluded); };
    if (std::any_of(request.conditioned.begin(), request.conditioned.end(), foreign) ||
        std::any_of(request.text.begin(), request.text.end(), foreign) || foreign(request.before)) {
        return fail("The given text holds a character that the model does not have.");
    }
    std::stable_sort(request.edits.begin(), request.edits.end(),
                     [](const Edit& a, const Edit& b) { return a.step < b.step; });
    for (const Edit& edit : request.edits) {
        if (!fits(edit, static_cast<int>(length), vocab_size, excluded)) {
            return fail("An edit reaches beyond the text or the model's characters.");
        }
    }
    return {};
}

Sampler::Sampler(SamplingRequest request, const ModelConfig& config, int excluded)
    : request_(std::move(request)),
      vocab_size_(config.vocab_size),
      excluded_(excluded),
      probability_(static_cast<std::size_t>(config.vocab_size)),
      seq_len_(config.seq_len) {
    const std::size_t length = request_.conditioned.size();
    now_.id.assign(length, -1);
    now_.revealed_at.assign(length, 0);
    now_.probability.assign(length, 0);
    now_.flags.assign(length, 0);
    unrevealed_ = this->length();
    predictions_.assign(length, Prediction{});
    for (int position = 0; position < this->length(); ++position) {
        const bool conditioned = request_.conditioned[position] >= 0;
        const int id = conditioned || request_.text.empty() ? request_.conditioned[position] : request_.text[position];
        if (id < 0) continue;
        reveal(position, id, 1);
        if (conditioned) now_.flags[position] |= position_conditioned;
    }
}

bool Sampler::done() const { return unrevealed_ == 0; }

int Sampler::first_unrevealed() {
    while (first_unrevealed_ < length() && is_revealed(now_.flags[first_unrevealed_])) ++first_unrevealed_;
    return first_unrevealed_;
}

Result<void> Sampler::step() {
    if (done()) return {};
    const SampleCounters before = now_;
    proofread_nll_.clear();
    if (auto ok = advance(); !ok) {
        static_cast<SampleCounters&>(now_) = before;
        return ok;
    }
    apply_due_edits();
    return {};
}

std::uint32_t Sampler::word(int position, Purpose purpose, int element) const {
    const std::uint64_t index = request_.sample * request_.conditioned.size() + static_cast<std::uint64_t>(position);
    return philox(request_.options.seed, index, static_cast<std::uint32_t>(now_.step), purpose).word[element];
}

Result<Prediction> Sampler::record_prediction(int position, std::span<const float> logits) {
    if (!softmax(logits, excluded_, probability_)) {
        return not_finite();
    }
    return predictions_[position] = summarize(probability_, excluded_);
}

void Sampler::reveal(int position, int id, float probability) {
    unrevealed_ -= is_unrevealed(now_.flags[position]);
    now_.id[position] = id;
    now_.probability[position] = probability;
    now_.revealed_at[position] = now_.step;
    now_.flags[position] = position_revealed;
}

void Sampler::hide(int position) {
    if (is_unrevealed(now_.flags[position])) return;
    ++unrevealed_;
    first_unrevealed_ = std::min(first_unrevealed_, position);
    now_.id[position] = -1;
    now_.probability[position] = 0;
    now_.flags[position] = position_reopened;
}

void Sampler::renoise(int from, int to, int percent) {
    std::vector<int> positions;
    std::vector<std::uint32_t> words;
    for (int position = from; position <= to; ++position) {
        if (now_.flags[position] & position_conditioned) continue;
        positions.push_back(position);
        words.push_back(word(position, Purpose::renoise, 1));  // element 0 of this counter is the remasking sampler's
    }
    const int count = ceil_mul_div(static_cast<int>(positions.size()), percent, 100);
    for (const int i : random_order(words, count)) hide(positions[i]);
}

void Sampler::apply(const Edit& edit) {
    switch (edit.kind) {
        case Edit::Kind::noise: renoise(edit.from, edit.to, edit.percent); break;
        case Edit::Kind::keep:
            for (int position = edit.from; position <= edit.to; ++position) {
                if (is_revealed(now_.flags[position])) now_.flags[position] |= position_conditioned;
            }
            break;
        case Edit::Kind::open:
            for (int position = edit.from; position <= edit.to; ++position) hide(position);
            break;
        case Edit::Kind::put:
            reveal(edit.from, edit.id, 1);
            now_.flags[edit.from] |= position_conditioned;
            break;
    }
}

void Sampler::apply_due_edits() {
    const std::vector<Edit>& edits = request_.edits;
    const auto pending = [&] { return now_.edits_applied < static_cast<int>(edits.size()); };
    text_changed();
    while (pending() && (edits[now_.edits_applied].step <= now_.step || done())) {
        // All that were meant for one step belong together, also where the text was finished before it.
        const int step = edits[now_.edits_applied].step;
        while (pending() && edits[now_.edits_applied].step == step) apply(edits[now_.edits_applied++]);
        text_changed();
    }
}

Result<void> Sampler::edit(const Edit& edit) {
    if (!fits(edit, length(), vocab_size_, excluded_)) {
        return fail("The edit reaches beyond the text or the model's characters.");
    }
    apply(edit);
    apply_due_edits();
    return {};
}

Frame Sampler::frame() const {
    Frame frame;
    frame.step = now_.step;
    frame.steps = static_cast<int>(std::min<std::int64_t>(planned_steps(), most_steps));
    frame.done = done();
    frame.window_first = now_.window_first;
    frame.window_length = window_length();
    frame.id = now_.id;
    frame.flags = now_.flags;
    frame.probability = now_.probability;
    for (int position = 0; position < length(); ++position) {
        const bool drawn = (now_.flags[position] & (position_revealed | position_conditioned)) == position_revealed;
        if (drawn && now_.step > 0 && now_.revealed_at[position] == now_.step) frame.flags[position] |= position_new;
        const Prediction& prediction = predictions_[position];
        frame.entropy.push_back(static_cast<float>(prediction.entropy));
        frame.top_id.insert(frame.top_id.end(), prediction.top_id.begin(), prediction.top_id.end());
        frame.top_probability.insert(frame.top_probability.end(), prediction.top_probability.begin(),
                                     prediction.top_probability.end());
    }
    frame.edits_applied = now_.edits_applied;
    frame.passes_saved = now_.passes_saved;
    frame.proofread_nll = proofread_nll_;
    return frame;
}

State Sampler::save() const {
    State state = pack_state(now_);
    const std::size_t own = state.size();
    state.resize(own + extra_state_size());
    save_extra(state.data() + own);
    return state;
}

State Sampler::recorded_state(const RecordedStep& recorded) const {
    SampleProgress progress;
    progress.step = recorded.step;
    progress.block_end = recorded.step > 0 ? recorded.steps : 0;
    progress.id = recorded.id;
    progress.revealed_at = recorded.revealed_at;
    progress.probability = recorded.probability;
    progress.flags = recorded.flags;
    return pack_state(progress);
}

bool Sampler::is_possible(const SampleProgress& progress) const {
    const auto between = [](int value, int least, int most) { return value >= least && value <= most; };
    if (!between(progress.step, 0, most_steps) ||
        !between(progress.edits_applied, 0, static_cast<int>(request_.edits.size())) ||
        !between(progress.window_first, 0, length() - window_length()) ||
        !between(progress.block_begin, 0, progress.step) ||
        !between(progress.block_end, progress.block_begin, progress.block_begin + request_.options.steps) ||
        !between(progress.passes_saved, 0, most_steps) || !between(progress.round, 0, request_.options.rounds)) {
        return false;
    }
    for (const int id : progress.round_text) {
        if (!is_character(id, vocab_size_, excluded_)) return false;
    }
    for (int position = 0; position < length(); ++position) {
        const int id = progress.id[position], flags = progress.flags[position];
        const bool revealed = flags == position_revealed || flags == (position_revealed | position_conditioned);
        const bool unrevealed = flags == 0 || flags == position_reopened;
        if (!(revealed ? is_character(id, vocab_size_, excluded_) : unrevealed && id == -1) ||
            !between(progress.revealed_at[position], 0, progress.step) ||
            !(progress.probability[position] >= 0 && progress.probability[position] <= 1)) {
            return false;
        }
    }
    return true;
}

Result<void> Sampler::restore(const State& state) {
    auto saved = unpack_state(state, length(), extra_state_size());
    if (!saved || !is_possible(*saved)) return fail("The saved state does not belong to this sample.");
    now_ = std::move(*saved);
    unrevealed_ = count_unrevealed(now_.flags, 0, length());
    first_unrevealed_ = 0;
    load_extra(state.data() + (state.size() - extra_state_size()));
    std::fill(predictions_.begin(), predictions_.end(), Prediction{});
    proofread_nll_.clear();
    return {};
}

Result<std::unique_ptr<Sampler>> make_sampler(Denoiser& denoiser, const ProcessConfig& process, SamplingRequest request,
                                              const Proofreader* proofreader) {
#define FOLIO_SAMPLER(kind, name) make_##kind##_sampler,
    constexpr decltype(&make_masked_sampler) makers[] = {FOLIO_FOR_EACH_PROCESS(FOLIO_SAMPLER)};
#undef FOLIO_SAMPLER
    auto sampler = makers[static_cast<int>(process.kind)](denoiser, process, std::move(request), proofreader);
    if (sampler && (*sampler)->planned_steps() > most_steps) {
        return fail("The text would take " + std::to_string((*sampler)->planned_steps()) + " steps, of which " +
                    std::to_string(most_steps) + " are possible; ask for fewer steps or a shorter text.");
    }
    return sampler;
}

}  // namespace folio
