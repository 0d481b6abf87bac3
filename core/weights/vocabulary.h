#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/base/text.h"

namespace folio {

/// Which character each id is. [MASK] has no character: behind the last id it is not counted here, elsewhere it is an
/// id without one.
class Vocabulary {
public:
    Vocabulary() = default;
    /// The sorted set of the code points of a text. Fails on text that is not UTF-8 and on U+FFFD, which is no
    /// character.
    static Result<Vocabulary> of_text(std::string_view text);
    /// From a list whose i-th code point is the character of id i, U+FFFD where id i has none (`folio.vocab`). Fails on
    /// anything but UTF-8, on a character listed twice and where there is none at all.
    static Result<Vocabulary> of_list(std::string_view list);

    /// Ids listed, those without a character included.
    int size() const { return static_cast<int>(characters_.size()); }
    /// U+FFFD for any id without a character.
    char32_t character(int id) const;
    /// The id of a character; -1 if no id has it.
    int id(char32_t character) const;

    /// The same, or the sentence that refuses it.
    Result<int> encode(char32_t character) const;
    /// The ids of a text. Fails on text that is not UTF-8 and names the first character that no id has.
    Result<std::vector<int>> encode(std::string_view text) const;
    std::string decode(std::span<const int> ids) const;

    /// The id in `other` of each of these ids, -1 for ids without a character. Fails where the two do not have the same
    /// characters.
    Result<std::vector<int>> ids_in(const Vocabulary& other) const;

    /// The text that of_list makes this vocabulary from.
    std::string list() const;

    friend bool operator==(const Vocabulary&, const Vocabulary&) = default;

private:
    Result<void> index();

    std::vector<char32_t> characters_;
    std::vector<std::pair<char32_t, int>> ids_;  // sorted by character
};

}  // namespace folio
