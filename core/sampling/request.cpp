#include "core/sampling/request.h"

#include "core/base/text.h"

namespace folio {

namespace {

/// The ids of a text, -1 for each `gap`; in a text with gaps {{ is a brace. `what` names the text in a sentence.
Result<std::vector<int>> read_ids(std::string_view text, std::optional<char32_t> gap, const std::string& what,
                                  const EncodeCharacter& encode) {
    std::vector<int> ids;
    for (std::size_t position = 0; position < text.size();) {
        const std::string where = " at position " + std::to_string(ids.size()) + " (counted from 0)";
        char32_t character;
        if (!decode_utf8(text, position, character))
            return fail(what + " is not UTF-8" + where + "; write it in UTF-8");
        if (gap && character == U'{') {
            if (text.substr(position, 1) != "{")
                return fail("the open gap" + where + " has no length yet; write a brace as {{");
            ++position;
        }
        if (character == gap) {
            ids.push_back(-1);
            continue;
        }
        const auto id = encode(character);
        if (!id)
            return fail(id.error().sentence + ", which " + what + " holds" + where +
                        "; leave it out or write it otherwise");
        ids.push_back(*id);
    }
    return ids;
}

}  // namespace

Result<SamplingRequest> read_request(const RequestWords& words, const SamplingOptions& options,
                                     const EncodeCharacter& encode) {
    SamplingRequest request;
    request.options = options;
    if (const auto newline = encode(U'\n')) request.before = *newline;
    if (words.from_text) {
        auto ids = read_ids(*words.from_text, std::nullopt, "the text that is to go into noise", encode);
        if (!ids) return tl::unexpected(ids.error());
        if (ids->empty()) return fail("the text that is to go into noise is empty; write one");
        request.text = std::move(*ids);
    }
    if (words.text) {
        std::size_t end = 0;
        char32_t gap = 0;
        if (words.mark.empty() || !decode_utf8(words.mark, end, gap) || end != words.mark.size()) {
            return fail("the mark of a gap is " + quote(words.mark) + ", but must be one character, such as _");
        }
        auto ids = read_ids(*words.text, gap, "the text with gaps", encode);
        if (!ids) return tl::unexpected(ids.error());
        if (ids->empty()) return fail("the text with gaps is empty; write one such as \"To be, or ____ to be\"");
        request.conditioned = std::move(*ids);
    } else if (words.from_text) {
        request.conditioned.assign(request.text.size(), -1);
    } else {
        auto ids = read_ids(words.prompt, std::nullopt, "the prompt", encode);
        if (!ids) return tl::unexpected(ids.error());
        if (ids->size() > static_cast<std::size_t>(options.length)) {
            return fail("the prompt has " + std::to_string(ids->size()) +
                        " characters, more than the text's length of " + std::to_string(options.length) +
                        "; ask for a longer text");
        }
        request.conditioned = std::move(*ids);
        request.conditioned.resize(static_cast<std::size_t>(options.length), -1);
    }
    for (const std::string& words_of_edit : words.edits) {
        auto edit = parse_edit(words_of_edit, static_cast<int>(request.conditioned.size()), encode);
        if (!edit) return tl::unexpected(edit.error());
        request.edits.push_back(*edit);
    }
    return request;
}

}  // namespace folio
