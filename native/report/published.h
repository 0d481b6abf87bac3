#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

/// The fixed set of texts by which targets are compared, with the hashes that are published for them.
namespace folio {

/// The text of weights/verify.json, which the page reads too.
extern const char* const published_json;

struct PublishedSample {
    std::string name;
    std::string weights;     // of the model that is sampled, without folder and suffix
    std::string proofread;   // of the model that proofreads; empty: none
    nlohmann::json request;  // as read_request has it
    std::string hash;
};

struct PublishedSet {
    std::vector<PublishedSample> samples;
    std::map<std::string, std::string> weights;  // the hash of each file that the samples need, by its name
    std::string hash;                            // of all samples
};

PublishedSet published_set();

/// Digits of a hash that is short enough to be compared by eye: the first 16 of the SHA-256.
std::string short_hash(std::string_view bytes);

/// The hash of all samples: that of a line `HASH NAME` for each.
std::string hash_of_all(const std::vector<PublishedSample>& samples, const std::vector<std::string>& hashes);

}  // namespace folio
