#include "native/host/download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include "native/host/failure.h"

namespace folio {
namespace {

constexpr const char* shakespeare_address =
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt";

struct Download {
    std::string content;
    std::size_t limit;
};

std::size_t collect(char* data, std::size_t size, std::size_t count, void* target) {
    auto& [content, limit] = *static_cast<Download*>(target);
    if (content.size() + size * count > limit) return 0;  // not what we came for
    content.append(data, size * count);
    return size * count;
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

std::string download_shakespeare(std::size_t limit) {
    Download download{{}, limit};
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
    curl_easy_setopt(transfer, CURLOPT_WRITEDATA, &download);
    const CURLcode outcome = curl_easy_perform(transfer);
    long status = 0;
    curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(transfer);
    curl_global_cleanup();
    if (outcome != CURLE_OK && outcome != CURLE_WRITE_ERROR)
        stop(fmt::format("Tiny Shakespeare cannot be downloaded: {}; or give a text with --data FILE or FOLIO_DATA",
                         download_failure(outcome, status)));
    return download.content;
}

}  // namespace folio
