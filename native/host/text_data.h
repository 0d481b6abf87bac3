#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/weights/vocabulary.h"

namespace folio {

/// A text as UTF-8.
struct Text {
    std::string content;
    std::string checksum;        // SHA-256 of the file
    std::filesystem::path file;  // absolute; empty where it came out of a pipe or was downloaded
};

/// The text without a byte order mark at its beginning, which is no character of it.
std::string without_byte_order_mark(std::string text);

/// The file that load_text reads; empty or not there where the text would be downloaded.
std::filesystem::path text_source(const std::string& path_given);

/// The text to train or evaluate on: the file given (`--data`), else the one that FOLIO_DATA names, else Tiny
/// Shakespeare out of the user's cache, where it is put after a download the first time. A byte order mark at its
/// beginning is left out. Any failure ends the command.
Text load_text(const std::string& path_given);

/// The text of a run or a model again, by its checksum: the file given; else the one that was remembered, the one that
/// FOLIO_DATA names, or Tiny Shakespeare. Ends the command where none of these is that text.
Text find_text(const std::string& path_given, const std::filesystem::path& remembered, const std::string& checksum);

/// A text as ids, split as nanoGPT has it: the first 90 % trains, the rest validates.
struct TextData {
    std::vector<int> ids;

    std::span<const int> train() const { return std::span(ids).first(ids.size() * 9 / 10); }
    std::span<const int> validation() const { return std::span(ids).subspan(ids.size() * 9 / 10); }
};

/// Ends the command where a part of the text is too short for windows of `seq_len` characters and the one after.
void require_windows(const TextData& text, int seq_len, bool training);

/// Ends the command where the text holds a character that the vocabulary does not have; the sentence may name whose
/// that is.
TextData encode_text(const Text& text, const Vocabulary& vocabulary, const std::string& whose = "");

}  // namespace folio
