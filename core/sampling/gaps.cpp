#include "core/sampling/gaps.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/base/elementary.h"
#include "core/base/text.h"

namespace folio {

namespace {

struct OpenGap {
    std::string before;  // the text between the gap before and this one
    int least, most;
};

Result<OpenGap> read_gap(std::string_view range, int seq_len) {
    const auto wrong = [&](const std::string& why) {
        return fail("The gap " + quote("{" + std::string(range) + "}") + " " + why + ".");
    };
    const char* const end = range.data() + range.size();
    OpenGap gap{{}, 0, 0};
    const auto least = std::from_chars(range.data(), end, gap.least);
    const bool digits =
        !range.empty() && range.front() != '-' && least.ec == std::errc{} && least.ptr != end && *least.ptr == '-';
    const auto most = digits ? std::from_chars(least.ptr + 1, end, gap.most) : least;
    if (!digits || least.ptr[1] == '-' || most.ec != std::errc{} || most.ptr != end) {
        return wrong("cannot be read: write {A-B} for a gap of A to B characters, and {{ for a brace");
    }
    if (gap.least < 1) return wrong("may be empty; a gap has at least 1 character");
    if (gap.least > gap.most) return wrong("ends before it begins; write the smaller number first");
    if (gap.most > seq_len)
        return wrong("is longer than the " + std::to_string(seq_len) + " characters that the model sees");
    return gap;
}

std::string repeat(std::string_view text, int count) {
    std::string repeated;
    for (int i = 0; i < count; ++i) repeated += text;
    return repeated;
}

}  // namespace

Result<std::vector<GapChoice>> expand_gaps(std::string_view text, std::string_view mark, int seq_len) {
    if (mark == "{" || mark == "}")
        return fail("The mark of a gap must not be a brace; choose another character, such as _.");
    std::vector<OpenGap> gaps;
    std::string rest;  // since the last gap
    long count = 1;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] != '{' || text.substr(at, 2) == "{{") {
            const std::size_t size = text[at] == '{' ? 2 : 1;
            rest += text.substr(at, size);
            at += size;
            continue;
        }
        const std::size_t end = text.find('}', at);
        if (end == std::string_view::npos) {
            return fail(
                "A gap of the text is not closed: write {A-B} for a gap of A to B characters, and {{ for a brace.");
        }
        auto gap = read_gap(text.substr(at + 1, end - at - 1), seq_len);
        if (!gap) return tl::unexpected<Error>(gap.error());
        count *= gap->most - gap->least + 1;
        if (count > most_gap_choices) {
            return fail("The open gaps leave more than " + std::to_string(most_gap_choices) +
                        " choices of lengths; make them narrower.");
        }
        gap->before = std::exchange(rest, {});
        gaps.push_back(std::move(*gap));
        at = end + 1;
    }
    std::vector<GapChoice> choices;
    for (long number = 0; number < count; ++number) {
        GapChoice choice{std::vector<int>(gaps.size()), {}};
        long left = number;
        for (std::size_t i = gaps.size(); i-- > 0;) {
            const int widths = gaps[i].most - gaps[i].least + 1;
            choice.lengths[i] = gaps[i].least + static_cast<int>(left % widths);
            left /= widths;
        }
        for (std::size_t i = 0; i < gaps.size(); ++i) choice.text += gaps[i].before + repeat(mark, choice.lengths[i]);
        choice.text += rest;
        choices.push_back(std::move(choice));
    }
    return choices;
}

double filled_nll(const Frame& frame, std::span<const int> conditioned) {
    double sum = 0;
    int count = 0;
    for (std::size_t i = 0; i < conditioned.size(); ++i) {
        if (conditioned[i] >= 0) continue;
        sum -= elementary::log(std::max(frame.probability[i], std::numeric_limits<float>::min()));
        ++count;
    }
    return sum / count;
}

Result<double> text_nll(const Proofreader& proofreader, std::span<const int> text) {
    const auto nll = proofread_nll(proofreader, text);
    if (!nll) return tl::unexpected<Error>(nll.error());
    double sum = 0;
    int count = 0;
    for (const double nats : *nll) {
        if (std::isnan(nats)) continue;
        sum += nats;
        ++count;
    }
    return sum / count;
}

int best_choice(std::span<const GapChoice> choices, std::span<const double> nats_per_char) {
    const auto better = [&](std::size_t a, std::size_t b) {
        const double rounded_a = round_for_ties(nats_per_char[a]), rounded_b = round_for_ties(nats_per_char[b]);
        if (rounded_a != rounded_b) return rounded_a < rounded_b;
        const std::vector<int>&first = choices[a].lengths, &second = choices[b].lengths;
        const int size_a = std::accumulate(first.begin(), first.end(), 0),
                  size_b = std::accumulate(second.begin(), second.end(), 0);
        return size_a != size_b ? size_a < size_b : first < second;
    };
    std::size_t best = 0;
    for (std::size_t i = 1; i < choices.size(); ++i) {
        if (better(i, best)) best = i;
    }
    return static_cast<int>(best);
}

}  // namespace folio
