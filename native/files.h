#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/weights/safetensors.h"

namespace folio {

namespace fs = std::filesystem;

/// The content of a regular file of at most `limit` bytes. Anything else (a folder, a pipe, a device, too long, not
/// readable) ends the command with one sentence that calls the file `what` ("the weights file").
std::string read_file(const fs::path& path, std::string_view what, std::size_t limit = std::size_t{2} << 30);

/// Puts what `write` gives to its sink where `path` says, or leaves what was there: written beside it as
/// .NAME.folio-partial, flushed to the disk, then renamed. A full disk, a target that is no regular file or that another
/// process is writing ends the command with one sentence.
void write_file(const fs::path& path, const std::function<Result<void>(const ByteSink&)>& write);
void write_file(const fs::path& path, std::string_view content);

/// Ends the command with a sentence where `target`, about to be written, is one of the files that the command reads.
void spare(const fs::path& target, std::initializer_list<fs::path> sources);

/// Makes a folder and those above it; one sentence where that fails.
void make_folder(const fs::path& path);

/// A path for a sentence, whole.
std::string quote_path(const fs::path& path);

/// What a system call's error number means, in the words of a sentence's end.
std::string system_reason(int error);

/// Lower-case hexadecimal SHA-256.
std::string sha256(std::string_view bytes);

/// A folder that one process at a time may work in, for as long as this lives.
class FolderLock {
public:
    /// Ends the command with a sentence where another process holds the folder.
    explicit FolderLock(const fs::path& folder);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

private:
    int descriptor_;
};

}  // namespace folio
