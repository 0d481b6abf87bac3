#include <catch2/catch.hpp>

#include <fstream>
#include <map>

#include "core/model/denoiser.h"
#include "core/ops/cpu/exact_ops.h"
#include "core/sampling/json_request.h"
#include "core/weights/model_file.h"
#include "native/host/thread_pool.h"
#include "tests/sha256.h"
#include "tests/test_support.h"

// The published texts of weights/verify.json on a target for which only the core is built; verify_test and
// browsers.test.mjs have the others.

namespace folio {
namespace {

std::string content_of(const std::string& name) {
    std::ifstream file(std::string(FOLIO_SOURCE_DIR) + "/weights/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A model of the shipped weights on the CPU's exact path.
struct Model {
    ModelFile file;
    Denoiser denoiser;

    Model(ExactOps& ops, const std::string& bytes)
        : file(read_model(std::as_bytes(std::span(bytes))).value()),
          denoiser(Denoiser::create(ops, file.config, file.values(), false).value()) {}
};

std::string sample_text(Model& model, Model* reader, const nlohmann::json& request) {
    const auto encode = [&](char32_t character) { return model.file.vocabulary.encode(character); };
    std::optional<Proofreader> proofreader;
    if (reader)
        proofreader =
            Proofreader{proofreader_ids(model.file, reader->file).value(), autoregressive_predictor(reader->denoiser)};
    const auto sampler =
        make_sampler(model.denoiser, model.file.process, read_request(request, model.file.process.kind, encode).value(),
                     proofreader ? &*proofreader : nullptr)
            .value();
    while (!sampler->done()) REQUIRE(sampler->step());
    return model.file.vocabulary.decode(sampler->frame().id);
}

}  // namespace

TEST_CASE("published: the hash by which texts are compared") {
    CHECK(test::sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(test::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("published: every text has its published hash") {
    const auto published = nlohmann::json::parse(content_of("verify.json"));
    const KernelSet* baseline = available_kernels().back();
    ThreadPool threads(2);
    ExactOps ops(threads, {&baseline, 1});
    std::map<std::string, Model> models;
    const auto named = [&](const std::string& name) -> Model& {
        return models.try_emplace(name, ops, content_of(name + ".safetensors")).first->second;
    };
    std::string lines;
    for (const auto& sample : published.at("samples")) {
        const auto& request = sample.at("request");
        Model* reader = request.contains("proofread") ? &named(request.at("proofread")) : nullptr;
        const std::string hash = test::sha256(sample_text(named(sample.at("weights")), reader, request)).substr(0, 16);
        CAPTURE(sample.at("name").get<std::string>());
        CHECK(hash == sample.at("hash").get<std::string>());
        lines += hash + " " + sample.at("name").get<std::string>() + "\n";
    }
    CHECK(test::sha256(lines).substr(0, 16) == published.at("hash").get<std::string>());
}

}  // namespace folio
