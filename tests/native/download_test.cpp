#include <curl/curl.h>
#include <catch2/catch.hpp>

#include "native/host/download.h"

TEST_CASE("download: the reason of a failure and its remedy") {
    const auto reason = [](int code, long status = 0) { return folio::download_failure(code, status); };
    CHECK(reason(CURLE_HTTP_RETURNED_ERROR, 503).find("later") != std::string::npos);
    CHECK(reason(CURLE_HTTP_RETURNED_ERROR, 404).find("does not have it") != std::string::npos);
    CHECK(reason(CURLE_HTTP_RETURNED_ERROR, 407).find("proxy") != std::string::npos);
    CHECK(reason(CURLE_SSL_CACERT_BADFILE).find("ca-certificates") != std::string::npos);
    CHECK(reason(CURLE_COULDNT_RESOLVE_HOST).find("network") != std::string::npos);
    CHECK(reason(CURLE_OUT_OF_MEMORY).size() > 10);
}
