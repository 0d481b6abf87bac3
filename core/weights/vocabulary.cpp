#include "core/weights/vocabulary.h"

#include <algorithm>

namespace folio {
namespace {

/// Calls f(code point, position in characters) until it fails or the text ends.
template <class F>
Result<void> for_each_character(std::string_view text, std::string_view what, F&& f) {
    std::size_t place = 0;
    for (std::size_t position = 0; place < text.size(); ++position) {
        const std::size_t start = place;
        char32_t code;
        if (!decode_utf8(text, place, code)) {
            return fail(std::string(what) + " is not UTF-8 at byte " + std::to_string(start) +
                        " (counted from 0); convert it to UTF-8");
        }
        if (Result<void> done = f(code, position); !done) return done;
    }
    return {};
}

}  // namespace

Result<void> Vocabulary::index() {
    for (int id = 0; id < size(); ++id) {
        if (character(id) != no_character) ids_.emplace_back(character(id), id);
    }
    if (ids_.empty()) return fail("the vocabulary holds no character");
    std::sort(ids_.begin(), ids_.end());
    const auto twice =
        std::adjacent_find(ids_.begin(), ids_.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
    if (twice != ids_.end())
        return fail("the vocabulary lists the character " + describe_character(twice->first) + " twice");
    return {};
}

Result<Vocabulary> Vocabulary::of_text(std::string_view text) {
    std::vector<bool> seen(0x110000);
    const auto read = for_each_character(text, "the text", [&](char32_t code, std::size_t position) -> Result<void> {
        if (code == no_character) {
            return fail("the text holds U+FFFD, which stands for a broken character, at position " +
                        std::to_string(position) + " (counted from 0); repair or remove it");
        }
        seen[code] = true;
        return {};
    });
    if (!read) return tl::unexpected(read.error());
    Vocabulary vocabulary;
    for (char32_t code = 0; code < seen.size(); ++code) {
        if (seen[code]) vocabulary.characters_.push_back(code);
    }
    if (const auto indexed = vocabulary.index(); !indexed) return tl::unexpected(indexed.error());
    return vocabulary;
}

Result<Vocabulary> Vocabulary::of_list(std::string_view list) {
    Vocabulary vocabulary;
    const auto read = for_each_character(list, "the vocabulary", [&](char32_t code, std::size_t) -> Result<void> {
        vocabulary.characters_.push_back(code);
        return {};
    });
    if (!read) return tl::unexpected(read.error());
    if (const auto indexed = vocabulary.index(); !indexed) return tl::unexpected(indexed.error());
    return vocabulary;
}

char32_t Vocabulary::character(int id) const {
    return id >= 0 && id < size() ? characters_[static_cast<std::size_t>(id)] : no_character;
}

int Vocabulary::id(char32_t character) const {
    const auto found = std::lower_bound(ids_.begin(), ids_.end(), character,
                                        [](const auto& entry, char32_t wanted) { return entry.first < wanted; });
    return found != ids_.end() && found->first == character ? found->second : -1;
}

Result<int> Vocabulary::encode(char32_t character) const {
    const int found = id(character);
    if (found < 0) return fail("the model's vocabulary has no " + describe_character(character));
    return found;
}

Result<std::vector<int>> Vocabulary::encode(std::string_view text) const {
    std::vector<int> ids;
    ids.reserve(text.size());
    const auto read = for_each_character(text, "the text", [&](char32_t code, std::size_t position) -> Result<void> {
        const auto id = encode(code);
        if (!id) {
            return fail(id.error().sentence + ", which the text holds at position " + std::to_string(position) +
                        " (counted from 0); leave it out or write it otherwise");
        }
        ids.push_back(*id);
        return {};
    });
    if (!read) return tl::unexpected(read.error());
    return ids;
}

std::string Vocabulary::decode(std::span<const int> ids) const {
    std::string text;
    for (const int id : ids) append_utf8(text, character(id));
    return text;
}

Result<std::vector<int>> Vocabulary::ids_in(const Vocabulary& other) const {
    const auto differ = [](char32_t character, const char* which) {
        return fail("only the " + std::string(which) + " has " + describe_character(character));
    };
    for (const auto& [character, id] : other.ids_) {
        if (this->id(character) < 0) return differ(character, "proofreader");
    }
    std::vector<int> ids;
    for (const char32_t character : characters_) {
        ids.push_back(character == no_character ? -1 : other.id(character));
        if (character != no_character && ids.back() < 0) return differ(character, "sampled model");
    }
    return ids;
}

std::string Vocabulary::list() const {
    std::string text;
    for (const char32_t code : characters_) append_utf8(text, code);
    return text;
}

}  // namespace folio
