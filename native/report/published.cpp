#include "native/report/published.h"

#include "native/host/files.h"

namespace folio {

PublishedSet published_set() {
    const auto json = nlohmann::json::parse(published_json);
    PublishedSet set{{}, json.at("weights").get<std::map<std::string, std::string>>(), json.at("hash")};
    for (const auto& sample : json.at("samples")) {
        const auto& request = sample.at("request");
        set.samples.push_back({sample.at("name"), sample.at("weights"), request.value("proofread", ""), request,
                               sample.at("hash").get<std::string>()});
    }
    return set;
}

std::string short_hash(std::string_view bytes) { return sha256(bytes).substr(0, 16); }

std::string hash_of_all(const std::vector<PublishedSample>& samples, const std::vector<std::string>& hashes) {
    std::string lines;
    for (std::size_t i = 0; i < samples.size(); ++i) lines += hashes[i] + " " + samples[i].name + "\n";
    return short_hash(lines);
}

}  // namespace folio
