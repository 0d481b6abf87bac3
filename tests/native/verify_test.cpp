#include <catch2/catch.hpp>

#include <cstring>
#include <nlohmann/json.hpp>

#include "native/report/published.h"
#include "tests/program.h"
#include "tests/test_support.h"

using namespace folio::test;
using nlohmann::json;

namespace {

const fs::path weights = fs::path(FOLIO_SOURCE_DIR) / "weights";

/// A folder with links to the shipped weights of the set, but for the file of one model.
void link_weights(const fs::path& folder, const std::string& without) {
    fs::create_directory(folder);
    for (const auto& [name, hash] : folio::published_set().weights) {
        const std::string file = name + ".safetensors";
        if (name != without) fs::create_symlink(weights / file, folder / file);
    }
}

Outcome verify(const fs::path& folder, const Environment& extra = {}) {
    return folio::test::folio({"verify", "--weights-dir", folder.string(), "--threads", "1"}, extra);
}

/// Runs the program in a folder for as long as this lives.
class WorkingFolder {
public:
    explicit WorkingFolder(const fs::path& folder) { fs::current_path(folder); }
    ~WorkingFolder() { fs::current_path(before_); }

private:
    fs::path before_ = fs::current_path();
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

void expect_failure(const Outcome& outcome, int code) {
    CAPTURE(outcome.err, outcome.out);
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    CHECK(is_one_sentence(outcome.err));
}

}  // namespace

TEST_CASE("verify: every set of kernels samples the published texts, on one thread and on two") {
    const folio::PublishedSet set = folio::published_set();
    for (const folio::KernelSet* kernels : folio::available_kernels()) {
        for (const std::string threads : {"1", "2"}) {
            if (slow_build && (threads == "1" || kernels != folio::available_kernels().front())) continue;
            CAPTURE(kernels->name, threads);
            const Outcome outcome =
                folio::test::folio({"verify", "--weights-dir", weights.string(), "--threads", threads},
                                   {"FOLIO_KERNELS=" + std::string(kernels->name)});
            CAPTURE(outcome.out, outcome.err);
            CHECK(outcome.code == 0);
            CHECK(outcome.err.empty());
            for (const folio::PublishedSample& sample : set.samples)
                CHECK(contains(outcome.out, sample.hash + "  published\n"));
            CHECK(contains(outcome.out, set.hash + "  published\n"));
            CHECK_FALSE(contains(outcome.out, "DIFFERS"));
            CHECK(contains(outcome.out, std::string(threads == "1" ? "\n1 thread, " : "\n2 threads, ") +
                                            std::string(kernels->name) + " kernels"));
        }
    }
}

TEST_CASE("verify: its texts are those of folio sample and folio infill") {
    const WorkingFolder here(weights.parent_path());
    const Outcome outcome = folio::test::folio({"verify", "--json"});
    CAPTURE(outcome.err);
    REQUIRE(outcome.code == 0);
    const json report = json::parse(outcome.out);
    CHECK(report.at("same") == true);
    CHECK(report.at("hash") == report.at("published"));
    CHECK(report.at("devices").size() >= 1);
    CHECK(report.at("kernels").size() == folio::available_kernels().size());
    const folio::PublishedSet set = folio::published_set();
    REQUIRE(report.at("samples").size() == set.samples.size());
    for (std::size_t i = 0; i < set.samples.size(); ++i) {
        const folio::PublishedSample& sample = set.samples[i];
        if (slow_build && i > 0) continue;
        const json& row = report.at("samples")[i];
        CAPTURE(sample.name);
        CHECK(row.at("name") == sample.name);
        CHECK(row.at("hash") == sample.hash);
        std::vector<std::string> command{sample.request.contains("text") ? "infill" : "sample", "--weights",
                                         (weights / (sample.weights + ".safetensors")).string()};
        for (const auto& [option, value] : sample.request.items()) {
            for (const json& one : value.is_array() ? value : json::array({value})) {
                command.push_back("--" + option);
                command.push_back(one.is_string() ? one.get<std::string>() : one.dump());
                if (option == "proofread") command.back() = (weights / (command.back() + ".safetensors")).string();
            }
        }
        const Outcome sampled = folio::test::folio(command);
        CAPTURE(sampled.err);
        CHECK(sampled.out == row.at("text").get<std::string>() + "\n");
    }
}

TEST_CASE("verify: weights that are missing are named") {
    const TemporaryFolder folder;
    link_weights(folder / "weights", "gpt-small");
    const Outcome missing = verify(folder / "weights");
    expect_failure(missing, 1);
    CHECK(contains(missing.err, ": gpt-small.safetensors; "));
    // Neither here nor beside the program.
    fs::create_directory(folder / "empty");
    const WorkingFolder here(folder / "empty");
    const Outcome nowhere = folio::test::folio({"verify"});
    expect_failure(nowhere, 1);
    for (const auto& [name, hash] : folio::published_set().weights)
        CHECK(contains(nowhere.err, " " + name + ".safetensors"));
    CHECK(contains(nowhere.err, "share/folio/weights"));
}

TEST_CASE("verify: one other byte in the weights is seen, and named as the reason") {
    const TemporaryFolder folder;
    link_weights(folder / "weights", "masked-small");
    std::string bytes = content_of(weights / "masked-small.safetensors");
    std::uint64_t length;
    std::memcpy(&length, bytes.data(), sizeof length);
    // The exponent of the scale by which the space's logits are multiplied.
    const json header = json::parse(bytes.substr(8, length));
    const std::size_t scales = header.at("output_head.weight.scale").at("data_offsets").at(0);
    bytes.at(8 + length + scales + 4 * 1 + 3) ^= 1;
    write(folder / "weights" / "masked-small.safetensors", bytes);
    const Outcome outcome = verify(folder / "weights");
    CAPTURE(outcome.out);
    CHECK(outcome.code == 1);
    CHECK(is_one_sentence(outcome.err));
    CHECK(contains(outcome.err, "not the published ones: masked-small"));
    for (const folio::PublishedSample& sample : folio::published_set().samples) {
        CAPTURE(sample.name);
        if (sample.name == "masked, spread") CHECK_FALSE(contains(outcome.out, sample.hash));
        if (sample.weights != "masked-small") CHECK(contains(outcome.out, sample.hash + "  published\n"));
    }
    CHECK(contains(outcome.out, "  DIFFERS\n"));
}

TEST_CASE("verify: a model that is not int8 and a file that is no model are refused") {
    const TemporaryFolder folder;
    link_weights(folder / "floats", "masked-small");
    fs::create_symlink(golden_path("masked.safetensors"), folder / "floats" / "masked-small.safetensors");
    const Outcome floats = verify(folder / "floats");
    expect_failure(floats, 1);
    CHECK(contains(floats.err, "no int8 model"));
    link_weights(folder / "broken", "masked-small");
    write(folder / "broken" / "masked-small.safetensors", "verse");
    expect_failure(verify(folder / "broken"), 1);
}

TEST_CASE("verify: wrong options are wrong usage") {
    const std::vector<std::string> options = GENERATE(values<std::vector<std::string>>({{"--threads", "0"},
                                                                                        {"--threads", "many"},
                                                                                        {"--weights-dir"},
                                                                                        {"--weights-dir", ""},
                                                                                        {"now"},
                                                                                        {"--seed", "1"}}));
    std::vector<std::string> command{"verify"};
    command.insert(command.end(), options.begin(), options.end());
    expect_failure(folio::test::folio(command), 2);
    expect_failure(verify(weights, {"FOLIO_KERNELS=abacus"}), 2);
}

TEST_CASE("verify: the published hashes are those of the shipped weights, and the README has their table") {
    const folio::PublishedSet set = folio::published_set();
    for (const auto& [name, hash] : set.weights) {
        INFO("weights that were trained anew: node tests/publish.mjs writes weights/verify.json again");
        CHECK(folio::short_hash(content_of(weights / (name + ".safetensors"))) == hash);
    }
    std::vector<std::string> hashes;
    for (const folio::PublishedSample& sample : set.samples) hashes.push_back(sample.hash);
    CHECK(folio::hash_of_all(set.samples, hashes) == set.hash);
    const std::string readme = content_of(fs::path(FOLIO_SOURCE_DIR) / "README.md");
    const json measured = json::parse(folio::published_json).at("measured");
    CHECK(measured.size() > 0);
    for (const json& row : measured) {
        CAPTURE(row.dump());
        CHECK(row.at("hash") == set.hash);
        CHECK(contains(readme, "| " + row.at("target").get<std::string>() + ": "));
        CHECK(contains(readme, "`" + row.at("hash").get<std::string>() + "` | " + row.at("by").get<std::string>() +
                                   ", " + row.at("date").get<std::string>() + " |"));
    }
}
