#include "native/host/text_data.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cstdlib>

#include "core/base/text.h"
#include "native/host/failure.h"
#include "native/host/files.h"

namespace folio {
namespace {

constexpr std::size_t longest_text = std::size_t{256} << 20;
constexpr std::string_view shakespeare_checksum = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
constexpr const char* shakespeare_address =
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";
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

std::size_t collect(char* data, std::size_t size, std::size_t count, void* target) {
    auto& content = *static_cast<std::string*>(target);
    if (content.size() + size * count > shakespeare_size) return 0;  // not what we came for
    content.append(data, size * count);
    return size * count;
}

Text download() {
    Text text{};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL* transfer = curl_easy_init();
    if (!transfer) stop("libcurl does not start; give a text with --data FILE");
    curl_easy_setopt(transfer, CURLOPT_URL, shakespeare_address);
    curl_easy_setopt(transfer, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(transfer, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(transfer, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(transfer, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(transfer, CURLOPT_TIMEOUT, 300L);
    curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(transfer, CURLOPT_WRITEDATA, &text.content);
    const CURLcode outcome = curl_easy_perform(transfer);
    long status = 0;
    curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(transfer);
    curl_global_cleanup();
    const char* advice = "give a text with --data FILE or FOLIO_DATA";
    if (outcome != CURLE_OK && outcome != CURLE_WRITE_ERROR) {
        stop(
            fmt::format("Tiny Shakespeare cannot be downloaded: {}; or {}", download_failure(outcome, status), advice));
    }
    text.checksum = sha256(text.content);
    if (text.checksum != shakespeare_checksum) {
        stop(fmt::format("what was downloaded is not Tiny Shakespeare (its SHA-256 differs); {}", advice));
    }
    return text;
}

}  // namespace

std::string download_failure(int curl_code, long status) {
    switch (curl_code) {
        case CURLE_HTTP_RETURNED_ERROR:
            if (status == 404 || status == 410) return "the server does not have it any more; look for it elsewhere";
            if (status == 429 || status >= 500)
                return fmt::format("the server cannot answer now (status {}); try again later", status);
            return fmt::format("the server, or a proxy before it, refuses it (status {}); ask whoever runs the network",
                               status);
        case CURLE_COULDNT_RESOLVE_HOST:
            return "the server's name cannot be resolved; connect this machine to the network";
        case CURLE_COULDNT_RESOLVE_PROXY: return "the proxy's name cannot be resolved; mend https_proxy";
        case CURLE_COULDNT_CONNECT: return "the server cannot be reached; connect this machine to the network";
        case CURLE_OPERATION_TIMEDOUT: return "the server takes too long; try again later";
        case CURLE_SSL_CACERT_BADFILE:
            return "this machine has no CA certificates to check the server by; install the package ca-certificates";
        case CURLE_PEER_FAILED_VERIFICATION:
            return "the server's certificate cannot be verified; set this machine's clock and update its CA "
                   "certificates";
        default: return fmt::format("{}; try again later", curl_easy_strerror(static_cast<CURLcode>(curl_code)));
    }
}

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
