#include "native/host/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "native/host/failure.h"
#include "native/host/signals.h"

namespace folio {
Descriptor::~Descriptor() {
    if (number >= 0) ::close(number);
}

std::string system_reason(int error) {
    switch (error) {
        case ENOENT: return "there is no such file or folder";
        case ENOTDIR: return "a part of the path is no folder";
        case EACCES:
        case EPERM: return "permission is denied";
        case ENOSPC: return "the disk is full; make room and try again";
        case EDQUOT: return "the disk quota is used up; make room and try again";
        case EROFS: return "the file system is read-only";
        case EISDIR: return "it is a folder";
        case ENAMETOOLONG: return "the name is too long";
        case EEXIST: return "something else stands there";
        case ENXIO: return "it is a pipe or a device";
        case ELOOP: return "it is a link that leads nowhere";
        case EFBIG: return "the file would be larger than allowed";
        case EIO: return "the disk reported an error";
        default: return fmt::format("the system answered with error {}", error);
    }
}

std::string to_text(const nlohmann::ordered_json& report) {
    return report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string quote_path(const fs::path& path) { return quote(path.string(), 1 << 12); }

namespace {

/// Files are read at once. With `stream` pipes and terminals are waited for, else they are refused.
std::string read_any(const fs::path& path, std::string_view what, std::size_t limit, bool stream) {
    const auto refuse = [&](const std::string& why) {
        stop(fmt::format("{} {} cannot be read: {}", what, quote_path(path), why));
    };
    // Without O_NONBLOCK opening a pipe without a writer would wait for ever.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (stream ? 0 : O_NONBLOCK)));
    if (file.number < 0) refuse(system_reason(errno));
    struct stat status {};
    if (::fstat(file.number, &status) != 0) refuse(system_reason(errno));
    const bool streams = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || ::isatty(file.number) == 1;
    if (!S_ISREG(status.st_mode) && !(stream && streams))
        refuse(S_ISDIR(status.st_mode) ? "it is a folder" : "it is no regular file");
    const auto size = static_cast<std::size_t>(status.st_size);
    const std::string too_long = fmt::format("it is longer than {} MiB", limit >> 20);
    if (size > limit) refuse(too_long);
    // One byte more than promised, so that a file that grows (or one of /proc, of size 0) is seen to the end.
    std::string content(size + 1, '\0');
    std::size_t length = 0;
    for (;;) {
        const ssize_t got = ::read(file.number, content.data() + length, content.size() - length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) refuse(system_reason(errno));
        if (got == 0) break;
        length += static_cast<std::size_t>(got);
        if (length > limit) refuse(too_long);
        if (length == content.size()) content.resize(2 * length + 4096);
    }
    content.resize(length);
    return content;
}

}  // namespace

std::string read_file(const fs::path& path, std::string_view what, std::size_t limit) {
    return read_any(path, what, limit, false);
}

std::string read_stream(const fs::path& path, std::string_view what, std::size_t limit) {
    return read_any(path, what, limit, true);
}

namespace {

[[noreturn]] void refuse_to_write(const fs::path& path, const std::string& why) {
    stop(fmt::format("{} cannot be written: {}", quote_path(path), why));
}

/// Ends the command where a file could not be opened to write it.
[[noreturn]] void refuse_to_open(const fs::path& path, int error) {
    std::error_code unknown;
    const bool folder_missing =
        error == ENOENT && path.has_parent_path() && !fs::is_directory(path.parent_path(), unknown);
    refuse_to_write(path, folder_missing    ? "its folder is not there; make it first"
                          : error == ENOENT ? "no file can be made there; choose another place"
                                            : system_reason(error));
}

/// Target of a path once its last part is no link any more; a link that dangles leads to what it would name.
fs::path behind_links(fs::path path) {
    constexpr int most_links = 40;
    std::error_code failed;
    for (int i = 0; fs::is_symlink(fs::symlink_status(path, failed)); ++i) {
        if (i == most_links) refuse_to_write(path, system_reason(ELOOP));
        const fs::path target = fs::read_symlink(path, failed);
        if (failed) refuse_to_write(path, system_reason(failed.value()));
        path = target.is_absolute() ? target : path.parent_path() / target;
    }
    return path;
}

/// The file beside `target` that it is written as first. A name that would be too long is cut, and told apart by a
/// checksum.
fs::path partial_of(const fs::path& target) {
    constexpr std::string_view suffix = ".folio-partial";
    constexpr std::size_t longest_name = 255;
    std::string name = target.filename().string();
    if (name.size() + 1 + suffix.size() > longest_name) {
        const std::string sum = sha256(name).substr(0, 16);
        name = name.substr(0, longest_name - 1 - suffix.size() - sum.size()) + sum;
    }
    return target.parent_path() / ("." + name + std::string(suffix));
}

/// Opens the partial file for this process alone.
int open_partial(const fs::path& partial, const fs::path& path) {
    constexpr int flags =
        O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;  // a pipe without a reader must not be waited for
    struct stat status {};
    if (::lstat(partial.c_str(), &status) == 0) {
        if (!S_ISREG(status.st_mode))
            refuse_to_write(path, fmt::format("{} stands in the way and is no file; remove it", quote_path(partial)));
        // Another name of the same file would get the content too.
        if (status.st_nlink > 1 && ::unlink(partial.c_str()) != 0) refuse_to_write(path, system_reason(errno));
    }
    const int file = ::open(partial.c_str(), flags, 0666);
    if (file < 0) refuse_to_open(path, errno);
    return file;
}

/// Locks a file or folder, unless another process has. On a file system without locks it is always false.
bool is_locked_by_another(int file) { return ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

/// Gives the file the mode of the existing target, and its owner where that is allowed.
void keep_attributes(int file, const fs::path& target) {
    struct stat status {};
    if (::stat(target.c_str(), &status) != 0) return;
    [[maybe_unused]] const int owned = ::fchown(file, status.st_uid, status.st_gid);
    ::fchmod(file, status.st_mode & 07777);
}

Result<void> write_all(int file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(system_reason(errno));
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

}  // namespace

void write_file(const fs::path& path, const std::function<Result<void>(const ByteSink&)>& write) {
    std::error_code failed;
    const fs::file_status status = fs::status(path, failed);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        refuse_to_write(path, fs::is_directory(status) ? "it is a folder" : "it is no regular file");
    }
    const fs::path target = behind_links(path), partial = partial_of(target);
    {
        const Descriptor file(open_partial(partial, path));
        if (is_locked_by_another(file.number)) refuse_to_write(path, "another process is writing it");
        const PartialFile cleanup(partial.string());
        // A process that was killed may have left something.
        if (::ftruncate(file.number, 0) != 0) refuse_to_write(path, system_reason(errno));
        const auto written = write([&](std::span<const std::byte> bytes) { return write_all(file.number, bytes); });
        if (!written) refuse_to_write(path, written.error().sentence);
        keep_attributes(file.number, target);
        if (::fsync(file.number) != 0 || ::rename(partial.c_str(), target.c_str()) != 0)
            refuse_to_write(path, system_reason(errno));
    }
    // The rename itself lasts only once the folder is on the disk.
    const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
    const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.number >= 0) ::fsync(directory.number);
}

void write_file(const fs::path& path, std::string_view content) {
    write_file(path, [&](const ByteSink& sink) { return sink(std::as_bytes(std::span(content))); });
}

void refuse_overwrite(const fs::path& target, std::initializer_list<fs::path> sources) {
    if (target.empty()) return;
    const fs::path partial = partial_of(behind_links(target));
    for (const fs::path& source : sources) {
        std::error_code unknown;
        if (source.empty()) continue;
        if (fs::equivalent(source, target, unknown))
            wrong_usage(fmt::format("{} is read by this command; choose another file to write", quote_path(target)));
        if (fs::equivalent(source, partial, unknown)) {
            wrong_usage(fmt::format("{} is where {} would be written first; rename it or choose another file to write",
                                    quote_path(source), quote_path(target)));
        }
    }
}

void refuse_stdout(const fs::path& target) {
    struct stat status {
    }, out{};
    if (target.empty() || ::stat(target.c_str(), &status) != 0 || ::fstat(STDOUT_FILENO, &out) != 0) return;
    const bool same = S_ISCHR(out.st_mode)
                          ? S_ISCHR(status.st_mode) && status.st_rdev == out.st_rdev && out.st_rdev != makedev(1, 3)
                          : status.st_dev == out.st_dev && status.st_ino == out.st_ino;
    if (same) wrong_usage(fmt::format("{} is where the results are printed; choose another file", quote_path(target)));
}

LineFile::LineFile(const fs::path& path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666)) {
    if (file_.number < 0) refuse_to_open(path, errno);
    refuse_stdout(path);
    struct stat status {};
    ::fstat(file_.number, &status);
    if (!S_ISREG(status.st_mode))
        refuse_to_write(path, S_ISDIR(status.st_mode) ? "it is a folder" : "it is no regular file");
    if (::ftruncate(file_.number, 0) != 0) refuse_to_write(path, system_reason(errno));
}

void LineFile::write(std::string_view line) {
    const auto written = write_all(file_.number, std::as_bytes(std::span(line)));
    if (!written) refuse_to_write(path_, written.error().sentence);
}

void make_folder(const fs::path& path) {
    std::error_code failed;
    if (fs::is_symlink(fs::symlink_status(path, failed)) && !fs::exists(path, failed)) {
        stop(
            fmt::format("the folder {} cannot be made: it is a link that leads nowhere; make the folder that it names "
                        "or choose another",
                        quote_path(path)));
    }
    if (fs::exists(path, failed) && !fs::is_directory(path, failed)) {
        stop(fmt::format("the folder {} cannot be made: a file stands there; choose another name", quote_path(path)));
    }
    fs::create_directories(path, failed);
    if (std::error_code unknown; !fs::is_directory(path, unknown)) {
        stop(fmt::format("the folder {} cannot be made: {}", quote_path(path),
                         failed ? system_reason(failed.value()) : "something else stands there"));
    }
}

std::string sha256(std::string_view bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) != 1) {
        stop("this system's libcrypto offers no SHA-256");
    }
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
}

FolderLock::FolderLock(const fs::path& folder) : folder_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (folder_.number < 0)
        stop(fmt::format("the folder {} cannot be opened: {}", quote_path(folder), system_reason(errno)));
    if (is_locked_by_another(folder_.number)) {
        stop(fmt::format("another training is at work in {}; wait for it or choose another folder with --out",
                         quote_path(folder)));
    }
}

}  // namespace folio
