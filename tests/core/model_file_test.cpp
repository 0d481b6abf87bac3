#include "core/weights/model_file.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/ops/cpu/make_ops.h"
#include "core/predict/host_forward.h"
#include "core/process/gaussian.h"
#include "core/process/time_warp.h"
#include "core/weights/quantise.h"
#include "tests/model_support.h"
#include "tests/test_support.h"
#include "tests/weights_bytes.h"

using namespace folio;
using Catch::Matchers::Contains;

namespace {

std::string refusal(const std::string& file) {
    const auto model = read_model(bytes(file));
    if (model) return "";
    for (const char c : model.error().sentence) CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7F));
    return model.error().sentence;
}

/// The tiny model's metadata with one text in it replaced.
Metadata altered(const std::string& key, const std::string& from, const std::string& to) {
    Metadata metadata = write_metadata(tiny_model());
    std::string& text = metadata.at(key);
    const auto position = text.find(from);
    REQUIRE(position != text.npos);
    text.replace(position, from.size(), to);
    return metadata;
}

std::string refusal(const Metadata& metadata) {
    const auto model = read_metadata(metadata);
    return model ? "" : model.error().sentence;
}

/// The tiny model's file after `change` has had its way with the tensors.
template <class F>
std::string altered_tensors(F&& change) {
    const std::string text = written(tiny_model());
    auto file = *read_safetensors(bytes(text));
    change(file.tensors);
    std::string result;
    REQUIRE(write_safetensors(file.metadata, file.tensors, into(result)));
    return result;
}

}  // namespace

TEST_CASE("parameters: one list in the order of the arena", "[weights]") {
    ModelConfig config;  // base
    std::vector<std::string> names;
    std::size_t end = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        CHECK(tensor.offset == end);
        end += tensor.count();
        names.push_back(tensor.name);
    });
    CHECK(parameter_count(config) == end);
    CHECK(end == 2 * 66 * 384 + 6 * (4 * 384 * 384 + 2 * 384 * 1536));
    REQUIRE(names.size() == 2 + 6 * 6);
    CHECK(std::vector(names.begin() + 7, names.begin() + 13) ==
          std::vector<std::string>{"blocks.1.attn.c_q.weight", "blocks.1.attn.c_k.weight", "blocks.1.attn.c_v.weight",
                                   "blocks.1.attn.c_proj.weight", "blocks.1.mlp.c_fc.weight",
                                   "blocks.1.mlp.c_proj.weight"});
    config.time_rows = 128;
    CHECK(parameter_count(config) == end + 128 * 384);
}

TEST_CASE("config: what no model can be", "[weights]") {
    CHECK(validate(ModelConfig{}));
    CHECK(validate(tiny_model().config));
    const auto refused = [](auto change) {
        ModelConfig config;
        change(config);
        return !validate(config);
    };
    for (const int size : {0, -1, 1 << 30, -2147483647 - 1, 2147483647}) {
        CAPTURE(size);
        CHECK(refused([&](ModelConfig& c) { c.vocab_size = size; }));
        CHECK(refused([&](ModelConfig& c) { c.seq_len = size; }));
        CHECK(refused([&](ModelConfig& c) { c.d_model = size; }));
        CHECK(refused([&](ModelConfig& c) { c.n_layer = size; }));
        CHECK(refused([&](ModelConfig& c) { c.n_head = size; }));
        CHECK(refused([&](ModelConfig& c) { c.d_ff = size; }));
        if (size != 0) CHECK(refused([&](ModelConfig& c) { c.time_rows = size; }));
    }
    CHECK(refused([](ModelConfig& c) { c.n_head = 5; }));                                        // does not divide 384
    CHECK(refused([](ModelConfig& c) { c.n_head = 384; }));                                      // width 1
    CHECK(refused([](ModelConfig& c) { c.d_model = 16384, c.n_layer = 512, c.n_head = 128; }));  // too many parameters
    for (const float eps : {0.0f, -1e-6f, 0.2f, INFINITY, NAN})
        CHECK(refused([&](ModelConfig& c) { c.norm_eps = eps; }));
}

TEST_CASE("model file: what is written is read back", "[weights]") {
    ModelFile model = tiny_model();
    model.config.time_rows = GENERATE(0, 5);
    model.config.n_layer = GENERATE(1, 11);
    model.config.norm_eps = GENERATE(1.1920929e-07f, 1e-5f, 3.3333333e-3f);
    model.training = GENERATE(as<std::string>(), "", R"({"steps":10,"note":"a \"b\" \u00e9"})");
    model.parameters.resize(parameter_count(model.config), 0.25f);
    const std::string text = written(model);
    const auto back = read_model(bytes(text));
    REQUIRE(back);
    CHECK(same(*back, model));

    const std::string half_text = written(model, Dtype::f16);  // eighths are exact in f16
    const auto half = read_model(bytes(half_text));
    REQUIRE(half);
    CHECK(same(*half, model));
    CHECK(half_text.size() < text.size());
}

TEST_CASE("model file: the metadata is spelled as the interface has it", "[weights]") {
    ModelFile model = tiny_model();
    model.config = ModelConfig{};
    model.process.mask_id = 65;
    const Metadata metadata = write_metadata(model);
    CHECK(
        metadata.at("folio.config") ==
        R"({"version":1,"trunk":"modern","vocab_size":66,"seq_len":256,"d_model":384,"n_layer":6,"n_head":6,"d_ff":1536,)"
        R"("norm_eps":1.1920929e-07,"causal":false,"time_rows":0})");
    CHECK(metadata.at("folio.process") == R"({"kind":"masked","mask_id":65,"schedule":"linear"})");
    CHECK(metadata.at("folio.vocab") == R"("\nab")");
}

TEST_CASE("model file: what is accepted", "[weights]") {
    CHECK(refusal(altered("folio.config", "\"norm_eps\":0.0009765625,", "")) == "");
    CHECK(read_metadata(altered("folio.config", "\"norm_eps\":0.0009765625,", ""))->config.norm_eps == 1.1920929e-07f);
    CHECK(refusal(altered("folio.config", "{", "{ \"later\" : [1], ")) == "");
    // [MASK] behind the last id may be written as an id without a character.
    CHECK(read_metadata(altered("folio.vocab", "ab", "ab\uFFFD"))->vocabulary == tiny_model().vocabulary);
    Metadata foreign = write_metadata(tiny_model());
    foreign["format"] = "pt";
    foreign.erase("folio.training");
    CHECK(refusal(foreign) == "");

    // A converted file: [MASK] is id 0.
    Metadata converted = altered("folio.process", "\"mask_id\":3", "\"mask_id\":0");
    converted["folio.vocab"] = R"("\ufffdab\n")";
    const auto model = read_metadata(converted);
    REQUIRE(model);
    CHECK(model->vocabulary.size() == 4);
    CHECK(model->process.mask_id == 0);
    // An id that is not [MASK] may lack a character as well.
    CHECK(refusal(altered("folio.vocab", "ab", "a\uFFFD")) == "");

    CHECK(refusal(altered_tensors([](auto& tensors) { std::swap(tensors.front(), tensors.back()); })) == "");
    // bf16 beside f32.
    const std::string zeros(16 * 2, '\0');
    const std::string mixed = altered_tensors([&](auto& tensors) {
        tensors[1].dtype = Dtype::bf16;
        tensors[1].data = bytes(zeros);
    });
    CHECK(read_model(bytes(mixed))->parameters[16] == 0.0f);
}

TEST_CASE("model file: the note on training cannot steer a terminal", "[weights]") {
    Metadata metadata = write_metadata(tiny_model());
    metadata["folio.training"] = "{\n\"a\": \"\u00e9\u009b\x7F\U0001F3AD\"}";
    CHECK(read_metadata(metadata)->training == R"({ "a": "\u00e9\u009b\u007f\ud83c\udfad"})");
}

TEST_CASE("model file: metadata that is refused", "[weights]") {
    const auto [key, from, to, words] = GENERATE(table<std::string, std::string, std::string, std::string>({
        {"folio.config", "\"version\":1", "\"version\":2", "version 2"},
        {"folio.config", "\"version\":1", "\"version\":1.0", "version that is not a whole number"},
        {"folio.config", "\"version\":1,", "", "lacks version"},
        {"folio.config", "\"trunk\":\"modern\"", "\"trunk\":\"article\"", "trunk does not take"},
        {"folio.config", "\"trunk\":\"modern\"", "\"trunk\":\"gp\\u001bt\"", R"(unknown trunk "gp\u{1B}t")"},
        {"folio.config", "\"trunk\":\"modern\"", "\"trunk\":7", "trunk that is not a string"},
        {"folio.config", "\"d_model\":4", "\"d_model\":\"4\"", "d_model"},
        {"folio.config", "\"d_model\":4", "\"d_model\":4,\"d_model\":4", "\"d_model\" twice"},
        {"folio.config", "\"d_model\":4", "\"d_model\":4294967300", "d_model"},
        {"folio.config", "\"d_model\":4", "\"d_model\":18446744073709551615", "d_model"},
        {"folio.config", "\"d_model\":4", "\"d_model\":-9223372036854775808", "d_model"},
        {"folio.config", "\"d_model\":4", "\"d_model\":-4", "d_model"},
        {"folio.config", "\"d_model\":4", "\"d_model\":3", "even"},
        {"folio.config", "\"seq_len\":8", "\"seq_len\":0", "seq_len"},
        {"folio.config", "\"n_head\":1", "\"n_head\":3", "heads"},
        {"folio.config", "\"n_layer\":1,", "", "lacks n_layer"},
        {"folio.config", "\"vocab_size\":4", "\"vocab_size\":2000000000", "vocab_size"},
        {"folio.config", "\"vocab_size\":4", "\"vocab_size\":3", "mask_id of 3"},
        {"folio.config", "\"vocab_size\":4", "\"vocab_size\":5", "vocab_size of 5"},
        {"folio.config", "0.0009765625", "0", "norm_eps"},
        {"folio.config", "0.0009765625", "null", "norm_eps"},
        {"folio.config", "0.0009765625", "1e60", "norm_eps"},
        {"folio.config", "0.0009765625", "NaN", "not valid JSON"},
        {"folio.config", "\"causal\":false", "\"causal\":true", "causal"},
        {"folio.config", "\"causal\":false", "\"causal\":0", "causal"},
        {"folio.config", "\"time_rows\":0", "\"time_rows\":-1", "time_rows"},
        {"folio.config", "\"time_rows\":0", "\"time_rows\":0,\"conv_radius\":-1", "conv_radius is -1"},
        {"folio.config", "\"time_rows\":0", "\"time_rows\":0,\"conv_radius\":17", "conv_radius is 17"},
        {"folio.config", "\"time_rows\":0", "\"time_rows\":0,\"conv_radius\":\"3\"", "conv_radius"},
        {"folio.config", "{", "[{", "not valid JSON"},
        {"folio.process", "masked", "gaussian", "lacks prediction"},
        {"folio.process", "masked", "ar", "is not causal, which an autoregressive model must be"},
        {"folio.process", "masked", "Masked\\n", R"(unknown kind "Masked\u{A}")"},
        {"folio.process", "\"mask_id\":3", "\"mask_id\":4", "mask_id of 4"},
        {"folio.process", "\"mask_id\":3", "\"mask_id\":-1", "mask_id of -1"},
        {"folio.process", "\"mask_id\":3", "\"mask_id\":0", "vocab"},
        {"folio.process", "\"mask_id\":3,", "", "lacks mask_id"},
        {"folio.process", "linear", "cosine", R"(schedule "cosine")"},
        {"folio.vocab", "ab", "abc", "the character \"c\""},
        {"folio.vocab", "ab", "a", "lists 2"},
        {"folio.vocab", "ab", "ab\uFFFD\uFFFD", "lists 5"},
        {"folio.vocab", "ab", "aa", "\"a\" (U+0061) twice"},
        {"folio.vocab", "\"", "", "not valid JSON"},
        {"folio.vocab", "ab", "\\ud800b", "not valid JSON"},
        {"folio.training", "{", "", "not valid JSON"},
    }));
    CAPTURE(key, from, to);
    CHECK_THAT(refusal(altered(key, from, to)), Contains(words));
}

TEST_CASE("model file: keys that are missing or of another kind", "[weights]") {
    for (const char* key : {"folio.config", "folio.process", "folio.vocab"}) {
        Metadata metadata = write_metadata(tiny_model());
        metadata[key] = "[1]";
        CHECK_THAT(refusal(metadata), Contains(std::string(key) + " is no JSON"));
        metadata.erase(key);
        CHECK_THAT(refusal(metadata), Contains(std::string("no ") + key));
    }
}

TEST_CASE("model file: tensors that are refused", "[weights]") {
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) { tensors.pop_back(); })),
               Contains("lacks the tensor output_head.weight"));
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) { tensors[1].name = "blocks.1.attn.c_q.weight"; })),
               Contains("lacks the tensor blocks.0.attn.c_q.weight"));
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) {
                   tensors.push_back({"x\u0007", Dtype::i8, {0}, {}});
               })),
               Contains(R"(holds the tensor "x\u{7}")"));
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) { std::swap(tensors[5].shape[0], tensors[5].shape[1]); })),
               Contains("mlp.c_fc.weight has the shape [4, 6]") && Contains("asks for [6, 4]"));
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) { tensors[1].shape = {16}; })), Contains("the shape [16]"));
    CHECK_THAT(refusal(altered_tensors([](auto& tensors) {
                   tensors[1].dtype = Dtype::i8;
                   tensors[1].data = tensors[1].data.first(16);
               })),
               Contains("c_q.weight is I8 and its head is not"));
    CHECK_THAT(refusal(written(tiny_model()) + "x"), Contains("1 bytes behind"));

    // A large configuration is refused by what the file holds, not by running out of memory.
    std::string large = written(tiny_model());
    CHECK_THAT(refusal(large.replace(large.find(R"(\"d_ff\":6)"), 10, R"(\"d_ff\":7)")), Contains("asks for [7, 4]"));
}

TEST_CASE("model file: an autoregressive model", "[weights]") {
    ModelFile model = tiny_model();
    model.process = {ProcessKind::autoregressive, -1};
    model.config.causal = true;
    model.config.vocab_size = model.vocabulary.size();
    model.parameters.resize(parameter_count(model.config));
    const auto read = read_model(bytes(written(model)));
    REQUIRE(read);
    CHECK(same(*read, model));
    CHECK(read->process.kind == ProcessKind::autoregressive);
    CHECK(read->process.mask_id == -1);
    CHECK(write_metadata(model).at("folio.process") == R"({"kind":"ar"})");
    model.config.causal = false;
    CHECK_THAT(refusal(written(model)), Contains("not causal"));
    model.config.causal = true;
    model.config.time_rows = 2;
    model.parameters.resize(parameter_count(model.config));
    CHECK_THAT(refusal(written(model)), Contains("time embedding"));
    model = tiny_model();
    model.process = {ProcessKind::autoregressive, -1};
    model.config.causal = true;
    CHECK_THAT(refusal(written(model)), Contains("vocab_size"));
}

TEST_CASE("model file: Gaussian models", "[weights]") {
    for (const bool article : {false, true}) {
        ModelFile model = tiny_model();
        model.config.vocab_size = model.vocabulary.size();
        model.config.time_rows = 6;
        model.config = test::model_for(ProcessKind::gaussian, article, model.config);
        model.process = test::process_for(ProcessKind::gaussian, article, model.config.vocab_size);
        model.parameters.assign(parameter_count(model.config), 0.5f);
        const std::string text = written(model);
        const auto read = read_model(bytes(text));
        REQUIRE(read);
        CHECK(same(*read, model));
        CHECK(read->process.kind == ProcessKind::gaussian);
        CHECK(read->process.gaussian.knots == model.process.gaussian.knots);
        CHECK(read->config.trunk == model.config.trunk);
        CHECK(written(*read) == text);
        const auto exact = read_model(bytes(written(model, Dtype::i8)));
        REQUIRE(exact);
        CHECK(exact->exact());
        const auto refused = [&](const char* key, const char* from, const char* to) {
            Metadata metadata = write_metadata(model);
            std::string& entry = metadata.at(key);
            REQUIRE(entry.find(from) != std::string::npos);
            const auto altered = read_metadata((entry.replace(entry.find(from), std::strlen(from), to), metadata));
            return altered ? std::string() : altered.error().sentence;
        };
        CHECK_THAT(refused("folio.process", article ? "eps" : "x0", "v"), Contains("predicts"));
        CHECK_THAT(refused("folio.process", article ? "linear" : "warped", "cosine"), Contains("cosine"));
        CHECK_THAT(refused("folio.config", "mixture", "text"), Contains("input"));
        CHECK_THAT(refused("folio.config", article ? "false}" : "true}", article ? "true}" : "7}"),
                   Contains(article ? "trunk" : "true or false"));
        CHECK_THAT(refused("folio.process", "gaussian", "ar"), Contains("mixtures"));
        if (article)
            CHECK_THAT(refused("folio.process", "128", "1"), Contains("steps"));
        else
            CHECK_THAT(refused("folio.process", "[-4.0,", "[7.0,"), Contains("knots"));
    }
}

TEST_CASE("model file: I8", "[weights]") {
    const ModelFile exact = quantise(tiny_model()).value();
    const std::string text = written(tiny_model(), Dtype::i8);
    const auto read = read_model(bytes(text));
    REQUIRE(read);
    CHECK(read->exact());
    CHECK(same(*read, exact));
    CHECK(written(*read) == text);  // rounded once for all
    CHECK(read->quantised.size() + read->parameters.size() == parameter_count(exact.config));
    CHECK(same(*read_model(bytes(written(*read, Dtype::f32))), dequantise(exact)));

    // Turned, the largest number there is leaves f32 where others stand beside it.
    ModelFile huge = tiny_model();
    std::fill_n(huge.parameters.begin(), 4, 3e38f);
    CHECK_THAT(quantise(huge).error().sentence, Contains("too large"));
    std::string nothing;
    CHECK_THAT(write_model(huge, Dtype::i8, into(nothing)).error().sentence, Contains("too large"));
    CHECK(nothing.empty());

    const auto altered = [&](auto change) {
        auto file = *read_safetensors(bytes(text));
        change(file.tensors);
        std::string result;
        REQUIRE(write_safetensors(file.metadata, file.tensors, into(result)));
        return refusal(result);
    };
    const auto at = [](std::vector<TensorView>& tensors, std::string_view name) {
        return std::find_if(tensors.begin(), tensors.end(),
                            [&](const TensorView& tensor) { return tensor.name == name; });
    };
    for (const float bad : {0.f, -0.f, -1.f, INFINITY, -INFINITY, NAN}) {
        const std::vector<float> scales{1, bad, 1, 1};
        CHECK_THAT(altered([&](auto& tensors) {
                       at(tensors, "blocks.0.attn.c_k.weight.scale")->data = std::as_bytes(std::span(scales));
                   }),
                   Contains("blocks.0.attn.c_k.weight.scale holds scales that are not positive and finite"));
    }
    CHECK_THAT(altered([&](auto& tensors) { tensors.erase(at(tensors, "output_head.weight.scale")); }),
               Contains("lacks the tensor output_head.weight.scale"));
    CHECK_THAT(altered([&](auto& tensors) {
                   at(tensors, "output_head.weight.scale")->shape = {4, 1};
               }),
               Contains("F32 [4, 1]") && Contains("F32 [4]"));
    CHECK_THAT(altered([&](auto& tensors) {
                   auto tensor = at(tensors, "blocks.0.attn.c_v.weight.scale");
                   tensor->dtype = Dtype::f16;
                   tensor->data = tensor->data.first(8);
               }),
               Contains("F16 [4], but scales are F32 [4]"));
    CHECK_THAT(altered([&](auto& tensors) {
                   auto tensor = at(tensors, "token_emb.weight");
                   tensor->dtype = Dtype::i8;
                   tensor->data = tensor->data.first(16);
               }),
               Contains("embeddings are not quantised"));
    const std::vector<float> floats(24, 0.5f);
    CHECK_THAT(altered([&](auto& tensors) {
                   auto tensor = at(tensors, "blocks.0.mlp.c_fc.weight");
                   tensor->dtype = Dtype::f32;
                   tensor->data = std::as_bytes(std::span(floats));
               }),
               Contains("c_fc.weight is F32 and its head is I8"));
    CHECK_THAT(
        altered([&](auto& tensors) {
            tensors.push_back({"token_emb.weight.scale", Dtype::f32, {4}, std::as_bytes(std::span(floats)).first(16)});
        }),
        Contains("knows nothing of"));
}

TEST_CASE("model file: a convolution", "[weights]") {
    ModelFile model = tiny_model();
    model.config.conv_radius = GENERATE(1, 3, 16);
    // No filter of these numbers is the same in f16.
    model.parameters.assign(parameter_count(model.config), 0.1f);
    const std::string filter = "blocks.0.mlp.conv.weight";
    const auto values = [&](const ModelFile& file) {
        std::vector<float> found;
        for_each_tensor(file.config, [&](const TensorSpec& tensor) {
            if (tensor.name == filter)
                found.assign(file.parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset),
                             file.parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset + tensor.count()));
        });
        return found;
    };
    const auto taps = static_cast<std::size_t>(2 * model.config.conv_radius + 1);
    CHECK(same(*read_model(bytes(written(model))), model));
    for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::i8}) {
        const std::string text = written(model, dtype);
        CHECK(read_safetensors(bytes(text))->find(filter)->dtype == Dtype::f32);
        const ModelFile read = read_model(bytes(text)).value();
        CHECK(read.config.conv_radius == model.config.conv_radius);
        CHECK(values(read) == std::vector<float>(taps * 4, 0.1f));
    }
    const auto altered = [&](auto change) {
        const std::string text = written(model);
        auto file = *read_safetensors(bytes(text));
        change(file.metadata, *std::find_if(file.tensors.begin(), file.tensors.end(),
                                            [&](const TensorView& tensor) { return tensor.name == filter; }));
        std::string result;
        REQUIRE(write_safetensors(file.metadata, file.tensors, into(result)));
        return refusal(result);
    };
    CHECK_THAT(altered([](auto&, TensorView& tensor) {
                   tensor.dtype = Dtype::f16, tensor.data = tensor.data.first(tensor.data.size() / 2);
               }),
               Contains(filter + " is F16, but filters are F32"));
    CHECK_THAT(altered([](auto&, TensorView& tensor) { tensor.name = "blocks.0.conv.weight"; }),
               Contains("lacks the tensor " + filter));
    CHECK_THAT(altered([](auto&, TensorView& tensor) { std::swap(tensor.shape[0], tensor.shape[1]); }),
               Contains(filter + " has the shape [4, "));
    CHECK_THAT(altered([](Metadata& metadata, TensorView&) {
                   std::string& config = metadata["folio.config"];
                   config.erase(config.find(",\"conv_radius\""), config.find('}') - config.find(",\"conv_radius\""));
               }),
               Contains("holds the tensor \"" + filter + "\""));
    ModelConfig config = model.config;
    config.trunk = Trunk::article;
    config.soft_tokens = true;
    config.time_rows = 4;
    config.n_layer = 2;
    CHECK_THAT(validate(config).error().sentence, Contains("the article's trunk has no convolution"));
    config.conv_radius = 0;
    CHECK(validate(config));
    for (const int radius : {-1, 17, 1 << 30, -2147483647 - 1}) {
        config = model.config;
        config.conv_radius = radius;
        CHECK_THAT(validate(config).error().sentence, Contains("conv_radius is " + std::to_string(radius)));
    }
}

TEST_CASE("quantise: what is rounded is the same function", "[weights]") {
    ModelFile model = tiny_model();
    model.config.conv_radius = GENERATE(0, 2);
    model.config.d_model = GENERATE(64, 96, 36);
    model.config.d_ff = 40;
    model.config.n_head = 2;
    model.config.time_rows = 3;
    test::Random random(7);
    model.parameters = random.normals<float>(parameter_count(model.config), 0.3);
    const auto first_row_of_up = [&](ModelFile& file) -> float* {
        float* row = nullptr;
        for_each_tensor(file.config, [&](const TensorSpec& tensor) {
            if (tensor.name.ends_with("c_fc.weight")) row = file.parameters.data() + tensor.offset;
        });
        return row;
    };
    std::fill_n(first_row_of_up(model), model.config.d_model, 0.f);
    const ModelFile exact = quantise(model).value();
    CHECK(exact.scales.size() == channel_count(model.config));
    CHECK(std::all_of(exact.scales.begin(), exact.scales.end(),
                      [](float scale) { return scale > 0 && std::isfinite(scale); }));
    CHECK(std::count(exact.scales.begin(), exact.scales.end(), 1.f) == 1);  // the row of zeros
    CHECK(
        std::none_of(exact.quantised.begin(), exact.quantised.end(), [](std::int8_t value) { return value == -128; }));

    Serial serial;
    const auto logits = [&](const ModelFile& file, Precision precision) {
        const auto ops = make_ops(serial, available_kernels().last(1), precision);
        Denoiser denoiser = Denoiser::create(*ops, file.config, file.values(), false).value();
        const std::vector<int> ids{0, 1, 2, 3, 3, 1, 0}, time{1};
        std::vector<float> result(ids.size() * 4);
        REQUIRE(HostForward(denoiser).forward(ids, time, 1, static_cast<int>(ids.size()), result));
        return result;
    };
    const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
        double error = 0, size = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            error += (a[i] - b[i]) * (a[i] - b[i]);
            size += b[i] * b[i];
        }
        return std::sqrt(error / size);
    };
    const auto truth = logits(model, Precision::f32), rounded = logits(dequantise(exact), Precision::f32);
    CHECK(distance(rounded, truth) < 0.03);
    CHECK(distance(logits(exact, Precision::int8), rounded) < 0.06);
}

TEST_CASE("model file: values that are not finite", "[weights]") {
    std::string text = written(tiny_model());
    const float bad = GENERATE(INFINITY, -INFINITY, NAN);
    std::memcpy(text.data() + text.size() - 4, &bad, 4);
    CHECK_THAT(refusal(text), Contains("output_head.weight holds values that are not finite"));

    ModelFile model = tiny_model();
    model.parameters[0] = bad;
    std::string sunk;
    CHECK_FALSE(write_model(model, Dtype::f32, into(sunk)));
    model.parameters[0] = 70000.0f;
    const auto half = write_model(model, Dtype::f16, into(sunk));
    REQUIRE_FALSE(half);
    CHECK_THAT(half.error().sentence, Contains("65504"));
    CHECK(sunk.empty());
    CHECK(write_model(model, Dtype::f32, into(sunk)));
}

TEST_CASE("model file: one byte changed never breaks the reader", "[weights]") {
    const std::string text = written(tiny_model());
    const std::size_t header = 8 + static_cast<unsigned char>(text[0]) + 256u * static_cast<unsigned char>(text[1]);
    for (std::size_t position = 0; position < header; ++position) {
        for (const int change : {0x01, 0x20, 0x80}) {
            std::string broken = text;
            broken[position] = static_cast<char>(broken[position] ^ change);
            const auto model = read_model(bytes(broken));
            if (!model) continue;
            const std::string again = written(*model);
            const auto back = read_model(bytes(again));
            if (!back || !same(*model, *back)) FAIL("byte " << position);
        }
    }
}
