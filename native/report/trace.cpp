#include "native/report/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/text.h"

namespace folio {
namespace {

using nlohmann::ordered_json;

std::string number(float value) { return std::isnan(value) ? "null" : fmt::format("{:.6g}", value); }

std::string list(const std::vector<float>& values) {
    std::vector<std::string> texts;
    for (const float value : values) texts.push_back(number(value));
    return fmt::format("[{}]", fmt::join(texts, ","));
}

/// A list of lists of four: the probabilities of each position's most likely characters.
std::string fours(const std::vector<float>& values) {
    std::vector<std::string> rows;
    for (std::size_t i = 0; i < values.size(); i += 4)
        rows.push_back(list({values[i], values[i + 1], values[i + 2], values[i + 3]}));
    return fmt::format("[{}]", fmt::join(rows, ","));
}

}  // namespace

std::string trace_line(const Frame& frame, const Vocabulary& vocabulary, std::uint64_t sample) {
    std::string text;
    for (const int id : frame.id) append_utf8(text, vocabulary.character(id));
    ordered_json top = ordered_json::array();
    for (std::size_t i = 0; i < frame.top_id.size(); i += 4) {
        top.push_back({frame.top_id[i], frame.top_id[i + 1], frame.top_id[i + 2], frame.top_id[i + 3]});
    }
    std::string line =
        ordered_json{{"sample", sample}, {"step", frame.step}, {"steps", frame.steps}, {"length", frame.id.size()},
                     {"text", text},     {"ids", frame.id},    {"flags", frame.flags}}
            .dump();
    line.back() = ',';
    line += fmt::format(R"("probability":{},"entropy":{},"top":{},"top_probability":{})", list(frame.probability),
                        list(frame.entropy), top.dump(), fours(frame.top_probability));
    if (!frame.proofread_nll.empty()) line += fmt::format(R"(,"proofread_nll":{})", list(frame.proofread_nll));
    return line + "}\n";
}

}  // namespace folio
