#include "core/sampling/json_request.h"

#define JSON_NO_IO 1
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/sampling/request.h"

namespace folio {

namespace {

using nlohmann::json;

Result<std::uint64_t> read_seed(const json& value) {
    if (value.is_number_unsigned()) return value.get<std::uint64_t>();
    if (const auto* text = value.get_ptr<const std::string*>()) {
        std::uint64_t seed = 0;
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seed);
        if (error == std::errc{} && end == text->data() + text->size()) return seed;
    }
    return fail("The seed must be a whole number from 0 to 18446744073709551615.");
}

Result<SamplingOptions> read_options(const json& object, ProcessKind process) {
    GivenOptions given;
    for (const SamplingOption& option : sampling_options) {
        const auto found = object.find(option.name);
        if (found != object.end())
            given.emplace_back(&option, found->is_number() ? found->get<double>() : std::nan(""));
    }
    auto made = options_with(process, given);
    if (!made) return made;
    SamplingOptions& options = *made;
    if (const auto found = object.find("seed"); found != object.end()) {
        const auto seed = read_seed(*found);
        if (!seed) return tl::unexpected(seed.error());
        options.seed = *seed;
    }
    if (object.contains("sampler")) {
        const auto name = read_text(object, "sampler");
        const auto kind = name ? sampler_named(*name) : std::nullopt;
        if (!kind) return fail("The sampler must be one of " + list_of_samplers(process) + ".");
        options.sampler = *kind;
    }
    return made;
}

Result<RequestWords> read_words(const json& object) {
    RequestWords words;
    const auto prompt = read_text(object, "prompt"), mark = read_text(object, "mark", "_");
    if (!prompt || !mark) return tl::unexpected(prompt ? mark.error() : prompt.error());
    words.prompt = *prompt;
    words.mark = *mark;
    if (object.contains("text")) {
        const auto gaps = read_text(object, "text");
        if (!gaps) return tl::unexpected(gaps.error());
        words.text = *gaps;
    }
    if (object.contains("from-text")) {
        const auto whole = read_text(object, "from-text");
        if (!whole) return tl::unexpected(whole.error());
        words.from_text = *whole;
    }
    if (const auto edits = object.find("edit"); edits != object.end()) {
        if (!edits->is_array()) return fail("The option edit must be a list of texts.");
        for (const json& edit : *edits) {
            const auto* written = edit.get_ptr<const std::string*>();
            if (!written) return fail("The option edit must be a list of texts.");
            words.edits.push_back(*written);
        }
    }
    return words;
}

}  // namespace

Result<std::string> read_text(const json& object, const char* key, const char* otherwise) {
    const auto found = object.find(key);
    if (found == object.end()) return std::string(otherwise);
    if (const auto* text = found->get_ptr<const std::string*>()) return *text;
    return fail(std::string("The option ") + key + " must be a text.");
}

Result<SamplingRequest> read_request(const json& object, ProcessKind process, const EncodeCharacter& encode) {
    const auto options = read_options(object, process);
    if (!options) return tl::unexpected(options.error());
    const auto words = read_words(object);
    if (!words) return tl::unexpected(words.error());
    return read_request(*words, *options, encode);
}

}  // namespace folio
