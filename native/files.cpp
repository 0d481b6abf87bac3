#include "native/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/text.h"
#include "native/failure.h"
#include "native/signals.h"

namespace folio {
namespace {

/// A file descriptor with an owner.
struct Descriptor {
    int number;

    explicit Descriptor(int number) : number(number) {}
    ~Descriptor() {
        if (number >= 0) ::close(number);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

}  // namespace

std::string system_reason(int error) {
    switch (error) {
        case ENOENT: return "there is no such file or folder";
        case ENOTDIR: return "a part of the path is no folder";
        case EACCES: case EPERM: return "permission is denied";
        case ENOSPC: return "the disk is full; make room and try again";
        case EDQUOT: return "the disk quota is used up; make room and try again";
        case EROFS: return "the file system is read-only";
        case EISDIR: return "it is a folder";
        case ENAMETOOLONG: return "the name is too long";
        case ELOOP: return "it is a link that leads nowhere";
        case EFBIG: return "the file would be larger than allowed";
        case EIO: return "the disk reported an error";
        default: return fmt::format("the system answered with error {}", error);
    }
}

std::string quote_path(const fs::path& path) { return quote(path.string(), 1 << 12); }

std::string read_file(const fs::path& path, std::string_view what, std::size_t limit) {
    const auto refuse = [&](const std::string& why) {
        stop(fmt::format("{} {} cannot be read: {}", what, quote_path(path), why));
    };
    // Without O_NONBLOCK opening a pipe that nobody writes to would wait for ever.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.number < 0) refuse(system_reason(errno));
    struct stat status{};
    if (::fstat(file.number, &status) != 0) refuse(system_reason(errno));
    if (!S_ISREG(status.st_mode)) refuse(S_ISDIR(status.st_mode) ? "it is a folder" : "it is no regular file");
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

void write_file(const fs::path& path, const std::function<Result<void>(const ByteSink&)>& write) {
    const auto refuse = [&](const std::string& why) {
        stop(fmt::format("{} cannot be written: {}", quote_path(path), why));
    };
    std::error_code failed;
    // A link is written through, not replaced.
    const fs::path target = fs::is_symlink(path, failed) ? fs::weakly_canonical(path, failed) : path;
    const fs::file_status status = fs::status(target, failed);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        refuse(fs::is_directory(status) ? "it is a folder" : "it is no regular file");
    }
    const fs::path partial = target.parent_path() / ("." + target.filename().string() + ".folio-partial");
    {
        const Descriptor file(::open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
        if (file.number < 0) refuse(system_reason(errno));
        if (::flock(file.number, LOCK_EX | LOCK_NB) != 0) refuse("another process is writing it");
        const PartialFile cleanup(partial.string());
        // What a process that was killed left behind.
        if (::ftruncate(file.number, 0) != 0) refuse(system_reason(errno));
        const auto written = write([&](std::span<const std::byte> bytes) -> Result<void> {
            while (!bytes.empty()) {
                const ssize_t count = ::write(file.number, bytes.data(), bytes.size());
                if (count < 0 && errno == EINTR) continue;
                if (count < 0) return fail(system_reason(errno));
                bytes = bytes.subspan(static_cast<std::size_t>(count));
            }
            return {};
        });
        if (!written) refuse(written.error().sentence);
        if (::fsync(file.number) != 0 || ::rename(partial.c_str(), target.c_str()) != 0) refuse(system_reason(errno));
    }
    // The rename itself lasts only once the folder is on the disk.
    const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
    const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.number >= 0) ::fsync(directory.number);
}

void write_file(const fs::path& path, std::string_view content) {
    write_file(path, [&](const ByteSink& sink) { return sink(std::as_bytes(std::span(content))); });
}

void spare(const fs::path& target, std::initializer_list<fs::path> sources) {
    for (const fs::path& source : sources) {
        if (std::error_code unknown; !target.empty() && fs::equivalent(source, target, unknown))
            stop(fmt::format("{} is read by this command; choose another file to write", quote_path(target)));
    }
}

void make_folder(const fs::path& path) {
    std::error_code failed;
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

FolderLock::FolderLock(const fs::path& folder) : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0) stop(fmt::format("the folder {} cannot be opened: {}", quote_path(folder), system_reason(errno)));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ::close(descriptor_);
        stop(fmt::format("another training is at work in {}; wait for it or choose another folder with --out",
                         quote_path(folder)));
    }
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace folio
