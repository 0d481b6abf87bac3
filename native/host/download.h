#pragma once

#include <cstddef>
#include <string>

namespace folio {

/// What comes from Tiny Shakespeare's address, at most `limit` bytes of it. Ends the command where nothing comes.
std::string download_shakespeare(std::size_t limit);

/// Reason for a failed download, by libcurl's code and the server's status, and the remedy.
std::string download_failure(int curl_code, long status);

}  // namespace folio
