#include "native/host/text_data.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/base/text.h"
#include "native/host/download.h"
#include "native/host/failure.h"
#include "native/host/files.h"

namespace folio {
namespace {

constexpr std::size_t longest_text = std::size_t{256} << 20;
constexpr std::string_view shakespeare_checksum = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
constexpr std::size_t shakespeare_size = 1'115'394;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

Text read_text(const fs::path& path) {
    Text text{read_stream(path, "the text", longest_text), "", {}};
    text.checksum = sha256(text.content);
    text.content = without_byte_order_mark(std::move(text.content));
    if (text.content.empty()) stop(fmt::format("the text {} is empty; give another one with --data", quote_path(path)));
    std::error_code failed;
    if (!fs::is_regular_file(path, failed)) return text;
    // A name such as /dev/stdin is another file in another process.
    const bool magic = path.string().starts_with("/dev/") || path.string().starts_with("/proc/");
    text.file = magic ? fs::canonical(path, failed) : fs::absolute(path, failed).lexically_normal();
    return text;
}

/// Path of the cached copy; empty where the user has no home.
fs::path cached_copy() {
    fs::path cache = environment("XDG_CACHE_HOME");
    // The base directory specification: a relative path there is to be ignored.
    if (!cache.is_absolute() && !environment("HOME").empty()) cache = fs::path(environment("HOME")) / ".cache";
    return cache.is_absolute() ? cache / "folio" / "tinyshakespeare.txt" : fs::path();
}

Text download() {
    Text text{download_shakespeare(shakespeare_size), shakespeare_checksum.data(), {}};
    if (sha256(text.content) != shakespeare_checksum)
        stop(
            "what was downloaded is not Tiny Shakespeare (its SHA-256 differs); give a text with --data FILE or "
            "FOLIO_DATA");
    return text;
}

}  // namespace

std::string without_byte_order_mark(std::string text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
    return text;
}

fs::path text_source(const std::string& path_given) {
    const std::string named = path_given.empty() ? environment("FOLIO_DATA") : path_given;
    return named.empty() ? cached_copy() : fs::path(named);
}

Text load_text(const std::string& path_given) {
    const std::string named = path_given.empty() ? environment("FOLIO_DATA") : path_given;
    if (!named.empty()) return read_text(named);
    const fs::path copy = cached_copy();
    std::error_code failed;
    if (!copy.empty() && fs::is_regular_file(copy, failed)) {
        Text text = read_text(copy);
        if (text.checksum == shakespeare_checksum) return text;
    }
    notice("Downloading Tiny Shakespeare ...");
    Text text = download();
    if (!copy.empty()) {
        try {
            make_folder(copy.parent_path());
            write_file(copy, text.content);
        } catch (const Failure& failure) {
            notice("The text is not cached: " + failure.sentence);
        }
    }
    return text;
}

Text find_text(const std::string& path_given, const fs::path& remembered, const std::string& checksum) {
    const auto is_same = [&](const Text& text) { return text.checksum == checksum; };
    if (!path_given.empty()) {
        Text text = read_text(path_given);
        if (!is_same(text))
            wrong_usage(fmt::format("{} is not the text that the run was trained on; give that one with --data",
                                    quote(path_given)));
        return text;
    }
    if (std::error_code failed; fs::is_regular_file(remembered, failed)) {
        if (Text text = read_text(remembered); is_same(text)) return text;
    }
    // load_text downloads Tiny Shakespeare alone.
    if (!environment("FOLIO_DATA").empty() || checksum == shakespeare_checksum) {
        if (Text text = load_text(""); is_same(text)) return text;
    }
    if (remembered.empty()) wrong_usage("the run was trained on a text of which no file is known; give it with --data");
    wrong_usage(fmt::format("{}, which the run was trained on, is gone or has changed; give that text with --data",
                            quote_path(remembered)));
}

void require_windows(const TextData& text, int seq_len, bool training) {
    const std::size_t needed = static_cast<std::size_t>(seq_len) + 1;
    if (text.validation().size() >= needed && (!training || text.train().size() >= needed)) return;
    // ceil(n / 10) of n characters validate.
    const std::size_t shortest = 10 * (needed - 1) + 1;
    stop(fmt::format(
        "the text is too short: of its {} characters the last {} are for validation, and a window takes {}; give a "
        "text of {} "
        "or more{}",
        text.ids.size(), text.validation().size(), needed, shortest, training ? ", or a shorter --seq-len" : ""));
}

TextData encode_text(const Text& text, const Vocabulary& vocabulary, const std::string& whose) {
    return {unwrap(vocabulary.encode(text.content), whose)};
}

}  // namespace folio
