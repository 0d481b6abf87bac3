#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "core/weights/safetensors.h"

namespace folio {

namespace fs = std::filesystem;

/// A file descriptor, closed when this ends; negative: none.
struct Descriptor {
    int number;

    explicit Descriptor(int number) : number(number) {}
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

/// The content of a regular file of at most `limit` bytes. Anything else (a folder, a pipe, a device, too long, not
/// readable) ends the command with one sentence that calls the file `what` ("the weights file").
std::string read_file(const fs::path& path, std::string_view what, std::size_t limit = std::size_t{2} << 30);

/// The same of a file, a pipe or a terminal, which is waited for.
std::string read_stream(const fs::path& path, std::string_view what, std::size_t limit = std::size_t{2} << 30);

/// Writes what `write` gives to its sink to a file, whole or not at all: first beside it as .NAME.folio-partial, which
/// is flushed to the disk and renamed. Links are written through; an existing file keeps its mode and owner. A full
/// disk, a target that is no regular file or that another process is writing ends the command with one sentence.
void write_file(const fs::path& path, const std::function<Result<void>(const ByteSink&)>& write);
void write_file(const fs::path& path, std::string_view content);

/// Ends the command, as wrong usage, where `target`, about to be written, is stdout under any name.
void refuse_stdout(const fs::path& target);

/// Ends the command, as wrong usage, where `target`, about to be written, or the partial file before it is one of the
/// files that the command reads, under any name.
void refuse_overwrite(const fs::path& target, std::initializer_list<fs::path> sources);

/// A file that is written line by line: lines stay there however the command ends.
class LineFile {
public:
    /// Makes or empties the file. Ends the command where that cannot be, and as wrong usage where it is stdout.
    explicit LineFile(const fs::path& path);

    /// Ends the command where it cannot be written.
    void write(std::string_view line);

private:
    fs::path path_;
    Descriptor file_;
};

/// Makes a folder and those above it; one sentence where that fails.
void make_folder(const fs::path& path);

/// A path for a sentence, whole.
std::string quote_path(const fs::path& path);

/// A report for stdout, on one line; what is not UTF-8 in it, such as a file's name, with U+FFFD.
std::string to_text(const nlohmann::ordered_json& report);

/// Meaning of a system call's error number, as the end of a sentence.
std::string system_reason(int error);

/// Lower-case hexadecimal SHA-256.
std::string sha256(std::string_view bytes);

/// A folder that one process at a time may work in, for as long as this lives.
class FolderLock {
public:
    /// Ends the command with a sentence where another process holds the folder.
    explicit FolderLock(const fs::path& folder);

private:
    Descriptor folder_;
};

}  // namespace folio
