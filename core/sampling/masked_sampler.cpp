#include "core/sampling/masked_sampler.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "core/base/philox.h"

namespace folio {

namespace {

bool is_open(std::uint8_t flags) { return !(flags & place_fixed); }

int count_open(const std::vector<std::uint8_t>& flags, int first, int length) {
    return static_cast<int>(std::count_if(flags.begin() + first, flags.begin() + first + length, is_open));
}

/// a * b / c, rounded up.
int share(int a, int b, int c) {
    return static_cast<int>((static_cast<std::int64_t>(a) * b + c - 1) / c);
}

void put_bytes(State& state, const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    state.insert(state.end(), bytes, bytes + size);
}

template <class T>
void put_bytes(State& state, const std::vector<T>& values) {
    put_bytes(state, values.data(), values.size() * sizeof(T));
}

template <class T>
const std::uint8_t* take_bytes(const std::uint8_t* bytes, std::vector<T>& values) {
    std::memcpy(values.data(), bytes, values.size() * sizeof(T));
    return bytes + values.size() * sizeof(T);
}

/// The head of a State: then id, fixed_at, probability and flags of every place.
struct StateHead {
    std::uint32_t magic = 0x314D5346;  // "FSM1"
    std::int32_t length, step, edits_applied, window_first, block_begin, block_end;
};

}  // namespace

MaskedSampler::MaskedSampler(MaskedModel model, SamplingRequest request)
    : model_(std::move(model)), request_(std::move(request)) {}

Result<MaskedSampler> MaskedSampler::create(MaskedModel model, SamplingRequest request) {
    request.options.length = static_cast<int>(request.given.size());
    if (request.given.empty()) return fail("There is no text to sample: its length is 0.");
    if (auto ok = validate(request.options); !ok) return tl::unexpected<Error>(ok.error());
    const std::size_t length = request.given.size();
    if (!request.text.empty() && request.text.size() != length) {
        return fail("The text to go into noise must be as long as the text to come out of it.");
    }
    const auto foreign = [&](int id) { return id < -1 || id >= model.config.vocab_size || id == model.mask_id; };
    if (std::any_of(request.given.begin(), request.given.end(), foreign) ||
        std::any_of(request.text.begin(), request.text.end(), foreign)) {
        return fail("The given text holds a character that the model does not have.");
    }
    std::stable_sort(request.edits.begin(), request.edits.end(),
                     [](const Edit& a, const Edit& b) { return a.step < b.step; });
    for (const Edit& edit : request.edits) {
        const bool put = edit.kind == Edit::Kind::put;
        if (edit.from < 0 || edit.to < edit.from || edit.to >= static_cast<int>(length) ||
            (put && (edit.id < 0 || foreign(edit.id)))) {
            return fail("An edit reaches beyond the text or the model's characters.");
        }
    }

    MaskedSampler sampler(std::move(model), std::move(request));
    const SamplingRequest& wanted = sampler.request_;
    Progress& now = sampler.now_;
    now.id.assign(length, -1);
    now.fixed_at.assign(length, 0);
    now.probability.assign(length, 0);
    now.flags.assign(length, 0);
    sampler.opinions_.assign(length, Opinion{});
    for (int place = 0; place < sampler.length(); ++place) {
        const bool given = wanted.given[place] >= 0;
        const int id = given || wanted.text.empty() ? wanted.given[place] : wanted.text[place];
        if (id < 0) continue;
        sampler.fix(place, id, 1);
        if (given) now.flags[place] |= place_given;
    }
    if (!wanted.text.empty()) {
        sampler.noising_steps_ = wanted.options.steps;
        std::vector<std::pair<std::uint32_t, int>> order;
        for (int place = 0; place < sampler.length(); ++place) {
            order.emplace_back(sampler.word(place, Purpose::noise_text, 0), place);
        }
        std::sort(order.begin(), order.end());
        sampler.noising_rank_.resize(length);
        for (std::size_t rank = 0; rank < length; ++rank) sampler.noising_rank_[order[rank].second] = static_cast<int>(rank);
    }
    sampler.logits_.resize(static_cast<std::size_t>(sampler.window_length()) * sampler.model_.config.vocab_size);
    sampler.apply_due_edits();
    return sampler;
}

int MaskedSampler::window_length() const { return std::min(length(), model_.config.seq_len); }

std::uint32_t MaskedSampler::word(int place, Purpose purpose, int element) const {
    const std::uint64_t index = request_.sample * request_.given.size() + static_cast<std::uint64_t>(place);
    return philox(request_.options.seed, index, static_cast<std::uint32_t>(now_.step), purpose).word[element];
}

bool MaskedSampler::done() const { return !noising() && count_open(now_.flags, 0, length()) == 0; }

Result<Frame> MaskedSampler::step() {
    if (done()) return frame();
    const Progress before = now_;
    if (noising()) {
        ++now_.step;
        hide_some();
    } else {
        if (now_.step >= now_.block_end || count_open(now_.flags, now_.window_first, window_length()) == 0) begin_block();
        ++now_.step;
        if (auto ok = unmask(); !ok) {
            now_ = before;
            return tl::unexpected<Error>(ok.error());
        }
        if (count_open(now_.flags, now_.window_first, window_length()) == 0) now_.block_end = now_.step;
    }
    apply_due_edits();
    return frame();
}

void MaskedSampler::hide_some() {
    const int hidden = share(length(), now_.step, noising_steps_);
    for (int place = 0; place < length(); ++place) {
        if (noising_rank_[place] >= hidden || (now_.flags[place] & place_given)) continue;
        open(place);
        now_.flags[place] = 0;
    }
}

MaskedSampler::Window MaskedSampler::window_for(const std::vector<std::uint8_t>& flags, int from) const {
    const auto begin = flags.begin();
    const int window = window_length();
    const int first = static_cast<int>(std::find_if(begin + from, flags.end(), is_open) - begin);
    if (first == length()) return {};
    int last = first;
    for (int place = first; place < std::min(length(), first + (window + 1) / 2); ++place) {
        if (is_open(flags[place])) last = place;
    }
    const int spare = window - (last - first + 1);
    int known_behind = 0;
    while (known_behind < spare / 2 && last + 1 + known_behind < length() && !is_open(flags[last + 1 + known_behind])) {
        ++known_behind;
    }
    return {std::clamp(last + 1 + known_behind - window, 0, length() - window), window};
}

int MaskedSampler::passes_for(const std::vector<std::uint8_t>& flags, Window window) const {
    const auto first = flags.begin() + window.first;
    const bool all_reopened = std::all_of(first, first + window.length, [](std::uint8_t place) {
        return !is_open(place) || (place & place_reopened);
    });
    const int steps = request_.options.steps;
    return all_reopened ? share(steps, count_open(flags, window.first, window.length), window.length) : steps;
}

void MaskedSampler::begin_block() {
    const Window window = window_for(now_.flags, 0);
    now_.window_first = window.first;
    now_.block_begin = now_.step;
    now_.block_end = now_.step + passes_for(now_.flags, window);
}

bool MaskedSampler::in_block(int place) const {
    const std::uint8_t flags = now_.flags[place];
    return is_open(flags) || (!(flags & place_given) && now_.fixed_at[place] > now_.block_begin);
}

Result<void> MaskedSampler::unmask() {
    const SamplingOptions& options = request_.options;
    const int vocab_size = model_.config.vocab_size, mask_id = model_.mask_id;
    const int first = now_.window_first, window = window_length();
    const auto row = [&](int place) {
        return std::span<const float>(logits_).subspan(static_cast<std::size_t>(place - first) * vocab_size, vocab_size);
    };

    ids_.resize(window);
    int hidden = 0, hideable = 0;
    for (int i = 0; i < window; ++i) {
        const bool open = is_open(now_.flags[first + i]);
        ids_[i] = open ? mask_id : now_.id[first + i];
        hidden += open;
        hideable += in_block(first + i);
    }
    times_.clear();
    if (model_.config.time_rows > 0) {
        times_.push_back(time_row(static_cast<double>(hidden) / hideable, model_.config.time_rows));
    }
    if (auto ok = model_.predict(ids_, times_, 1, window, logits_); !ok) return ok;

    candidates_.clear();
    probability_.resize(vocab_size);
    for (int place = first; place < first + window; ++place) {
        if (!is_open(now_.flags[place])) continue;
        if (!softmax(row(place), mask_id, probability_)) {
            return fail("The model answers with numbers that are not finite; its weights are damaged.");
        }
        const Opinion& seen = opinions_[place] = opinion(probability_, mask_id);
        candidates_.push_back({place, seen.confidence, seen.margin, seen.entropy, word(place, Purpose::reveal, 0)});
    }
    const Pace pace{now_.block_end - now_.block_begin, now_.block_end - now_.step + 1};
    const int chosen = choose(candidates_, options, pace);

    if (const double sigma = remask_probability(options, pace); sigma > 0) {
        for (int place = first; place < first + window; ++place) {
            const bool may = in_block(place) && !is_open(now_.flags[place]);
            if (may && uniform(word(place, Purpose::renoise, 0)) < sigma) open(place);
        }
    }
    for (int i = 0; i < chosen; ++i) {
        const int place = candidates_[i].place;
        const int id = draw(row(place), mask_id, options, word(place, Purpose::draw, 0));
        softmax(row(place), mask_id, probability_);
        fix(place, id, static_cast<float>(probability_[id]));
    }
    return {};
}

void MaskedSampler::fix(int place, int id, float probability) {
    now_.id[place] = id;
    now_.probability[place] = probability;
    now_.fixed_at[place] = now_.step;
    now_.flags[place] = place_fixed;
}

void MaskedSampler::open(int place) {
    if (is_open(now_.flags[place])) return;
    now_.id[place] = -1;
    now_.probability[place] = 0;
    now_.flags[place] = place_reopened;
}

void MaskedSampler::apply(const Edit& edit) {
    std::vector<std::pair<std::uint32_t, int>> order;  // noise: whose turn it is
    for (int place = edit.from; place <= edit.to; ++place) {
        switch (edit.kind) {
            case Edit::Kind::noise:
                // Element 1: element 0 of the same counter is the remasking sampler's.
                if (!(now_.flags[place] & place_given)) order.emplace_back(word(place, Purpose::renoise, 1), place);
                break;
            case Edit::Kind::keep:
                if (!is_open(now_.flags[place])) now_.flags[place] |= place_given;
                break;
            case Edit::Kind::open:
                open(place);
                break;
            case Edit::Kind::put:
                fix(place, edit.id, 1);
                now_.flags[place] |= place_given;
                break;
        }
    }
    std::sort(order.begin(), order.end());
    order.resize(share(static_cast<int>(order.size()), edit.percent, 100));
    for (const auto& turn : order) open(turn.second);
}

void MaskedSampler::apply_due_edits() {
    const std::vector<Edit>& edits = request_.edits;
    const auto pending = [&] { return now_.edits_applied < static_cast<int>(edits.size()); };
    while (pending() && (edits[now_.edits_applied].step <= now_.step || done())) {
        // All that were meant for one step belong together, also where the text was finished before it.
        const int step = edits[now_.edits_applied].step;
        while (pending() && edits[now_.edits_applied].step == step) apply(edits[now_.edits_applied++]);
    }
}

Result<void> MaskedSampler::edit(const Edit& edit) {
    const bool put = edit.kind == Edit::Kind::put;
    if (edit.from < 0 || edit.to < edit.from || edit.to >= length() ||
        (put && (edit.id < 0 || edit.id >= model_.config.vocab_size || edit.id == model_.mask_id))) {
        return fail("The edit reaches beyond the text or the model's characters.");
    }
    apply(edit);
    apply_due_edits();
    return {};
}

int MaskedSampler::steps_known() const {
    const SamplerKind sampler = request_.options.sampler;
    const bool by_chance = sampler == SamplerKind::ancestral || sampler == SamplerKind::remask;
    std::vector<std::uint8_t> flags = now_.flags;
    int steps = now_.step;
    const auto run_block = [&](Window window, int passes) {
        const int open = count_open(flags, window.first, window.length);
        steps += by_chance && open > 0 ? passes : std::min(passes, open);
        std::fill_n(flags.begin() + window.first, window.length, place_fixed);
    };
    if (noising()) {
        steps = noising_steps_;
        for (std::uint8_t& place : flags) place = place & place_given ? place : 0;
    } else if (now_.step < now_.block_end) {
        run_block({now_.window_first, window_length()}, now_.block_end - now_.step);
    }
    int from = 0;
    for (Window window = window_for(flags, 0); window.length > 0; window = window_for(flags, from)) {
        run_block(window, passes_for(flags, window));
        from = window.first + window.length;
    }
    return steps;
}

Frame MaskedSampler::frame() const {
    Frame frame;
    frame.step = now_.step;
    frame.steps = steps_known();
    frame.done = done();
    frame.window_first = now_.window_first;
    frame.window_length = window_length();
    frame.id = now_.id;
    frame.flags = now_.flags;
    frame.probability = now_.probability;
    for (int place = 0; place < length(); ++place) {
        const bool drawn = (now_.flags[place] & (place_fixed | place_given)) == place_fixed;
        if (drawn && now_.step > 0 && now_.fixed_at[place] == now_.step) frame.flags[place] |= place_fresh;
        const Opinion& seen = opinions_[place];
        frame.entropy.push_back(static_cast<float>(seen.entropy));
        frame.top_id.insert(frame.top_id.end(), seen.top_id.begin(), seen.top_id.end());
        frame.top_probability.insert(frame.top_probability.end(), seen.top_probability.begin(),
                                     seen.top_probability.end());
    }
    return frame;
}

State MaskedSampler::save() const {
    StateHead head;
    head.length = length();
    head.step = now_.step;
    head.edits_applied = now_.edits_applied;
    head.window_first = now_.window_first;
    head.block_begin = now_.block_begin;
    head.block_end = now_.block_end;
    State state;
    put_bytes(state, &head, sizeof head);
    put_bytes(state, now_.id);
    put_bytes(state, now_.fixed_at);
    put_bytes(state, now_.probability);
    put_bytes(state, now_.flags);
    return state;
}

Result<void> MaskedSampler::restore(const State& state) {
    const auto foreign = [] { return fail("The saved state does not belong to this sample."); };
    StateHead head;
    Progress saved = now_;
    if (state.size() != sizeof head + request_.given.size() * (2 * sizeof(int) + sizeof(float) + 1)) return foreign();
    std::memcpy(&head, state.data(), sizeof head);
    const std::uint8_t* bytes = state.data() + sizeof head;
    bytes = take_bytes(bytes, saved.id);
    bytes = take_bytes(bytes, saved.fixed_at);
    bytes = take_bytes(bytes, saved.probability);
    take_bytes(bytes, saved.flags);

    constexpr int last_step = 1 << 30;
    if (head.magic != StateHead{}.magic || head.length != length() || head.step < 0 || head.step > last_step ||
        head.edits_applied < 0 || head.edits_applied > static_cast<int>(request_.edits.size()) ||
        head.window_first < 0 || head.window_first > length() - window_length() || head.block_begin < 0 ||
        head.block_begin > head.step || head.block_end < head.block_begin ||
        head.block_end > head.block_begin + request_.options.steps) {
        return foreign();
    }
    for (int place = 0; place < length(); ++place) {
        const int id = saved.id[place], flags = saved.flags[place];
        const bool fixed = flags == place_fixed || flags == (place_fixed | place_given);
        const bool open = flags == 0 || flags == place_reopened;
        const float probability = saved.probability[place];
        if (!(fixed ? id >= 0 && id < model_.config.vocab_size && id != model_.mask_id : open && id == -1) ||
            saved.fixed_at[place] < 0 || saved.fixed_at[place] > head.step || !(probability >= 0 && probability <= 1)) {
            return foreign();
        }
    }
    saved.step = head.step;
    saved.edits_applied = head.edits_applied;
    saved.window_first = head.window_first;
    saved.block_begin = head.block_begin;
    saved.block_end = head.block_end;
    now_ = std::move(saved);
    std::fill(opinions_.begin(), opinions_.end(), Opinion{});
    return {};
}

}  // namespace folio
