#include <catch2/catch.hpp>

#include <cstring>
#include <limits>
#include <tuple>

#include "core/base/normals.h"
#include "core/model/denoiser.h"
#include "core/ops/cpu/exact_ops.h"
#include "core/ops/reference_exact.h"
#include "core/predict/kernel_choice.h"
#include "core/predict/kernel_self_test.h"
#include "core/process/gaussian.h"
#include "core/process/time_warp.h"
#include "core/sampling/sampler.h"
#include "core/weights/model_file.h"
#include "native/host/thread_pool.h"
#include "tests/gaussian_support.h"
#include "tests/test_support.h"

// The promise of I8 models: the same bits from every set of kernels, on any number of threads, as from the reference
// implementations; and the same as ever, tests/golden/exact.json, which WebAssembly is held against too
// (same_text.test.mjs in Node, browsers.test.mjs).

namespace folio {
namespace {

using test::as_matrix;
using test::Random;

std::size_t area(int rows, int cols) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols); }

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Runs f(ops) under every set of this machine, on one, two and three threads.
template <class F>
void with_every_set(F f) {
    for (const KernelSet* set : available_kernels()) {
        for (const int width : {1, 2, 3}) {
            INFO("kernel set " << set->name << ", threads " << width);
            ThreadPool threads(width);
            ExactOps ops(threads, {&set, 1});
            f(ops);
        }
    }
}

struct Layer {
    int out, in;
    std::vector<std::int8_t> values;
    std::vector<float> scales;

    Layer(Random& random, int out, int in) : out(out), in(in) {
        for (std::size_t i = 0; i < area(out, in); ++i)
            values.push_back(static_cast<std::int8_t>(random.below(256) - 128));
        for (int i = 0; i < out; ++i) scales.push_back(static_cast<float>((1 + random.below(1000)) * 1e-5));
    }
    PackedWeight packed(Ops& ops, bool wide_input = false) const {
        PackedWeight weight;
        REQUIRE(ops.pack(weight, {nullptr, values.data(), scales.data(), wide_input}, out, in, false));
        return weight;
    }
};

/// A matrix in the middle of memory of which nothing else may change.
struct Framed {
    int rows, cols, stride;
    std::vector<float> all;

    Framed(int rows, int cols, int margin)
        : rows(rows), cols(cols), stride(cols + margin), all(area(rows + 2, stride), 12345.f) {}
    Matrix view() { return {all.data() + stride, rows, cols, stride}; }
    std::vector<float> values() {
        std::vector<float> result;
        for (int r = 0; r < rows; ++r) result.insert(result.end(), view().row(r), view().row(r) + cols);
        for (int r = 0; r < rows + 2; ++r)
            for (int c = 0; c < stride; ++c)
                if (r == 0 || r > rows || c >= cols)
                    REQUIRE(all[area(r, stride) + static_cast<std::size_t>(c)] == 12345.f);
        return result;
    }
};

TEST_CASE("exact: linear") {
    Random random(40);
    for (int round = 0; round < 60; ++round) {
        const int R = 1 + random.below(round < 50 ? 70 : 300), K = 1 + random.below(round < 50 ? 140 : 900),
                  N = 1 + random.below(140);
        const auto kind = static_cast<Epilogue::Kind>(round % 3);
        auto x = random.normals<float>(area(R, K)), residual = random.normals<float>(area(R, N));
        if (round % 4 == 0)
            for (float& value : x) value = std::max(0.f, value) * value;  // as relu2 leaves them
        std::fill_n(x.begin(), K, 0.f);
        const Layer layer(random, N, K);
        const bool wide_input = round % 2 == 1;
        CAPTURE(R, K, N, round % 3, wide_input);
        const Epilogue epilogue{kind, as_matrix(residual, R, N), {}};
        std::vector<float> expected(area(R, N));
        reference::exact::linear(as_matrix(expected, R, N), as_matrix(x, R, K), layer.values.data(),
                                 layer.scales.data(), epilogue, wide_input);
        with_every_set([&](ExactOps& ops) {
            Framed out(R, N, round % 5);
            const PackedWeight weight = layer.packed(ops, wide_input);
            ops.linear(out.view(), as_matrix(x, R, K), weight, epilogue);
            REQUIRE(ops.synchronize());
            REQUIRE(same_bits(out.values(), expected));
        });
    }
}

TEST_CASE("exact: attention") {
    Random random(41);
    // Head widths beside 64; lengths odd and even; the last model may see more positions than integers have room for.
    struct Case {
        int length, n_head, head_dim, max_length;
        bool causal;
    };
    const Case cases[] = {{1, 1, 64, 1024, false},   {17, 2, 64, 1024, false},   {64, 1, 32, 1024, false},
                          {37, 3, 32, 256, true},    {65, 1, 128, 1024, false},  {12, 2, 6, 64, true},
                          {130, 2, 64, 1024, false}, {33, 2, 64, 1028, false},   {19, 1, 128, 4096, true},
                          {256, 1, 64, 1024, false}, {1024, 1, 64, 1024, false}, {1101, 1, 32, 2048, false}};
    for (const Case& c : cases) {
        for (const int sequences : {1, 2}) {
            if (sequences > 1 && c.length > 256) continue;  // long, and nothing new
            CAPTURE(c.length, c.n_head, c.head_dim, c.max_length, c.causal, sequences);
            const int R = sequences * c.length, D = c.n_head * c.head_dim;
            const AttentionShape heads{c.length, c.n_head, c.head_dim, c.causal, c.max_length};
            auto qkv = random.normals<float>(area(R, 3 * D));
            const auto rope = random.normals<float>(area(c.length, c.head_dim));
            auto turned = qkv;
            reference::exact::rope_qk_norm(as_matrix(turned, R, 3 * D), rope.data(), heads, 1e-7f);
            std::vector<float> expected(area(R, D));
            reference::exact::attention(as_matrix(expected, R, D), as_matrix(turned, R, 3 * D), heads);
            with_every_set([&](ExactOps& ops) {
                Framed x(R, 3 * D, sequences), out(R, D, sequences);
                for (int r = 0; r < R; ++r)
                    std::copy_n(qkv.begin() + static_cast<std::ptrdiff_t>(area(r, 3 * D)), 3 * D, x.view().row(r));
                ops.rope_qk_norm(x.view(), rope.data(), nullptr, heads, 1e-7f);
                REQUIRE(ops.synchronize());
                REQUIRE(same_bits(x.values(), turned));
                ops.attention(out.view(), x.view(), nullptr, heads);
                REQUIRE(ops.synchronize());
                REQUIRE(same_bits(out.values(), expected));
            });
            // Every third row, none of the first sequence where there are two.
            std::vector<int> queries;
            std::vector<float> chosen;
            for (int r = sequences > 1 ? c.length : 0; r < R; r += 3) {
                queries.push_back(r);
                chosen.insert(chosen.end(), expected.begin() + static_cast<std::ptrdiff_t>(area(r, D)),
                              expected.begin() + static_cast<std::ptrdiff_t>(area(r + 1, D)));
            }
            const int count = static_cast<int>(queries.size());
            AttentionShape attending = heads;
            attending.queries = queries.data();
            with_every_set([&](ExactOps& ops) {
                Framed out(count, D, sequences);
                ops.attention(out.view(), as_matrix(turned, R, 3 * D), nullptr, attending);
                REQUIRE(ops.synchronize());
                REQUIRE(same_bits(out.values(), chosen));
            });
        }
    }
}

TEST_CASE("exact: the last positions of a text attend as in the whole") {
    Random random(47);
    const int n_head = 2, d = 64, D = n_head * d;
    for (const int length : {1, 2, 17, 64, 130}) {
        for (const int max_length : {1024, 4096}) {
            const auto qkv = random.normals<float>(area(length, 3 * D));
            const AttentionShape heads{length, n_head, d, true, max_length};
            auto turned = qkv;
            const std::vector<float> rope(area(length, d), 0.5f);
            reference::exact::rope_qk_norm(as_matrix(turned, length, 3 * D), rope.data(), heads, 1e-7f);
            std::vector<float> whole(area(length, D));
            reference::exact::attention(as_matrix(whole, length, D), as_matrix(turned, length, 3 * D), heads);
            for (const int known : {0, 1, length / 2, length - 1}) {
                if (known >= length) continue;
                const int rows = length - known;
                CAPTURE(length, known, max_length);
                const std::vector<float> expected(whole.begin() + static_cast<std::ptrdiff_t>(area(known, D)),
                                                  whole.end());
                std::vector<float> part(area(rows, D));
                reference::exact::attention(as_matrix(part, rows, D), as_matrix(turned, length, 3 * D), heads);
                REQUIRE(same_bits(part, expected));
                with_every_set([&](ExactOps& ops) {
                    Framed out(rows, D, 3);
                    ops.attention(out.view(), as_matrix(turned, length, 3 * D), nullptr, heads);
                    REQUIRE(ops.synchronize());
                    REQUIRE(same_bits(out.values(), expected));
                });
            }
        }
    }
}

TEST_CASE("exact: rms_norm") {
    Random random(42);
    for (const int n : {1, 3, 15, 16, 17, 64, 100, 384}) {
        const auto x = random.normals<float>(area(5, n));
        std::vector<float> expected(x.size());
        for (int r = 0; r < 5; ++r) reference::exact::rms_norm(&expected[area(r, n)], &x[area(r, n)], n, 1e-7f);
        with_every_set([&](ExactOps& ops) {
            std::vector<float> in = x, out(x.size());
            ops.rms_norm(as_matrix(out, 5, n), as_matrix(in, 5, n), 1e-7f);
            REQUIRE(ops.synchronize());
            REQUIRE(same_bits(out, expected));
        });
    }
}

TEST_CASE("exact: numbers at their bounds") {
    // The largest sums that can be: nothing wraps or saturates.
    Random random(43);
    for (const auto& [K, wide_input] :
         {std::pair{ExactOps::most_inputs, false}, {ExactOps::most_inputs, true}, {512, true}, {513, true}}) {
        const int N = 3;
        CAPTURE(K, wide_input);
        std::vector<float> x(static_cast<std::size_t>(K), 1.f);
        Layer layer(random, N, K);
        std::fill_n(layer.values.begin(), K, std::int8_t{-128});
        std::fill_n(layer.values.begin() + K, K, std::int8_t{127});
        layer.scales = {1, 1, 1};
        std::vector<float> expected(N);
        reference::exact::linear(as_matrix(expected, 1, N), as_matrix(x, 1, K), layer.values.data(),
                                 layer.scales.data(), {}, wide_input);
        REQUIRE(expected[0] == Approx(-128.0 * K));
        with_every_set([&, wide_input = wide_input](ExactOps& ops) {
            std::vector<float> out(N);
            const PackedWeight weight = layer.packed(ops, wide_input);
            ops.linear(as_matrix(out, 1, N), {x.data(), 1, static_cast<int>(x.size())}, weight, {});
            REQUIRE(ops.synchronize());
            REQUIRE(same_bits(out, expected));
        });
    }
    // Attention of positions that are all alike, as sure as they can be, over as many as integers have room for.
    const int length = ExactOps::longest_integer_attention, d = 64;
    std::vector<float> qkv(area(length, 3 * d), 1.f);
    with_every_set([&](ExactOps& ops) {
        std::vector<float> attended(area(length, d));
        ops.attention(as_matrix(attended, length, d), as_matrix(qkv, length, 3 * d), nullptr,
                      {length, 1, d, false, length});
        REQUIRE(ops.synchronize());
        CHECK(attended.front() == Approx(1).epsilon(1e-3));
        CHECK(attended.back() == attended.front());
    });
}

TEST_CASE("exact: what is not finite is found in every position that reads it") {
    Random random(44);
    const int R = 5, K = 37, N = 21;
    const Layer layer(random, N, K);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
        for (const int position : {0, 20, 36}) {
            auto x = random.normals<float>(area(R, K));
            x[area(3, K) + static_cast<std::size_t>(position)] = bad;
            for (const int part : {0, 1, 2}) {
                auto qkv = random.normals<float>(area(R, 3 * 32));
                qkv[area(2, 3 * 32) + static_cast<std::size_t>(part * 32 + position % 32)] = bad;
                with_every_set([&](ExactOps& ops) {
                    std::vector<float> out(area(R, N)), attended(area(R, 32));
                    for (const bool wide_input : {false, true}) {
                        const PackedWeight weight = layer.packed(ops, wide_input);
                        ops.linear(as_matrix(out, R, N), as_matrix(x, R, K), weight, {});
                        REQUIRE_FALSE(ops.synchronize());
                        REQUIRE(ops.synchronize());  // said once
                    }
                    ops.attention(as_matrix(attended, R, 32), as_matrix(qkv, R, 96), nullptr, {R, 1, 32, false, 64});
                    REQUIRE_FALSE(ops.synchronize());
                });
            }
        }
    }
}

TEST_CASE("exact: numbers whose squares leave f32 are found and do not become zeros") {
    const int R = 3, d = 48;
    std::vector<float> x(area(R, 3 * d), 1.f);
    x[area(1, 3 * d) + 5] = 3e19f;
    const std::vector<float> rope(area(R, d), 0.7f);
    Random random(45);
    const Layer layer(random, 8, 3 * d);
    std::vector<float> expected(3 * d);
    reference::exact::rms_norm(expected.data(), x.data() + area(1, 3 * d), 3 * d, 1e-7f);
    CHECK(std::isnan(expected[0]));
    with_every_set([&](ExactOps& ops) {
        std::vector<float> in = x, normed(x.size()), out(area(R, 8)), attended(area(R, d));
        const PackedWeight weight = layer.packed(ops);
        ops.rms_norm(as_matrix(normed, R, 3 * d), as_matrix(in, R, 3 * d), 1e-7f);
        REQUIRE(ops.synchronize());
        CHECK(std::isnan(normed[area(1, 3 * d)]));
        CHECK(normed[area(2, 3 * d)] == 1.f);
        ops.linear(as_matrix(out, R, 8), as_matrix(normed, R, 3 * d), weight, {});
        CHECK_FALSE(ops.synchronize());
        const AttentionShape heads{R, 1, d, false, 64};
        ops.rope_qk_norm(as_matrix(in, R, 3 * d), rope.data(), nullptr, heads, 1e-7f);
        REQUIRE(ops.synchronize());
        CHECK(std::isnan(in[area(1, 3 * d)]));
        ops.attention(as_matrix(attended, R, d), as_matrix(in, R, 3 * d), nullptr, heads);
        CHECK_FALSE(ops.synchronize());
    });
}

/// FNV-1a, 64 bits.
struct Hash {
    std::uint64_t value = 0xcbf29ce484222325u;

    template <class T>
    void add(const std::vector<T>& values) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
        for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) value = (value ^ bytes[i]) * 0x100000001b3u;
    }
    std::string hex() const {
        char text[17];
        std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
        return text;
    }
};

ModelFile golden_model(const nlohmann::json& variant) {
    const std::string bytes = test::golden_bytes(variant.at("weights").get<std::string>() + ".safetensors");
    ModelFile model = read_model(std::as_bytes(std::span(bytes))).value();
    model.config.n_head = variant.at("n_head");
    model.config.seq_len = variant.at("seq_len");
    return model;
}

/// The text of a request, and the hash of the logits of all its passes.
std::pair<std::string, std::string> sample(const ModelFile& model, const KernelSet& set, int width,
                                           const nlohmann::json& request) {
    ThreadPool threads(width);
    const KernelSet* sets[] = {&set};
    ExactOps ops(threads, sets);
    Denoiser denoiser = Denoiser::create(ops, model.config, model.values(), false).value();
    SamplingRequest wanted;
    wanted.options.sampler = sampler_named(request.at("sampler").get<std::string>()).value();
    wanted.options.seed = std::stoull(request.at("seed").get<std::string>());
    for (const SamplingOption& option : sampling_options) {
        const std::string name(option.name);
        if (request.contains(name)) REQUIRE(set_option(wanted.options, option, request.at(name).get<double>()));
    }
    wanted.conditioned.assign(request.at("length").get<std::size_t>(), -1);
    wanted.before = model.vocabulary.encode(U'\n').value();
    const auto prompt = model.vocabulary.encode(request.at("prompt").get<std::string>()).value();
    std::copy(prompt.begin(), prompt.end(), wanted.conditioned.begin());
    std::optional<ModelFile> reading;
    std::optional<Denoiser> reader;
    std::optional<Proofreader> proofreader;
    if (request.contains("proofread")) {
        const std::string bytes = test::golden_bytes(request.at("proofread").get<std::string>() + ".safetensors");
        reading = read_model(std::as_bytes(std::span(bytes))).value();
        reader = Denoiser::create(ops, reading->config, reading->values(), false).value();
        proofreader = Proofreader{proofreader_ids(model, *reading).value(), autoregressive_predictor(*reader)};
    }
    const auto sampler = make_sampler(denoiser, model.process, wanted, proofreader ? &*proofreader : nullptr).value();
    Hash hash;
    while (!sampler->done()) {
        REQUIRE(sampler->step());
        hash.add(std::vector<float>(sampler->logits().begin(), sampler->logits().end()));
    }
    return {model.vocabulary.decode(sampler->frame().id), hash.hex()};
}

/// Every kernel set with every thread count; in a slow build the turn-th pair alone.
std::vector<std::pair<const KernelSet*, int>> runs_in_turn(std::size_t turn) {
    std::vector<std::pair<const KernelSet*, int>> runs;
    for (const int width : {1, 2, 3})
        for (const KernelSet* set : available_kernels()) runs.emplace_back(set, width);
    if (!test::slow_build) return runs;
    return {runs[turn % runs.size()]};
}

TEST_CASE("exact: the texts and logits of tests/golden/exact.json") {
    const nlohmann::json golden = test::golden_json("exact.json");
    std::size_t turn = 0;
    for (const auto& variant : golden.at("variants")) {
        const ModelFile model = golden_model(variant);
        for (const auto& request : variant.at("requests")) {
            CAPTURE(variant.at("weights").get<std::string>(), variant.at("n_head").get<int>(),
                    variant.at("seq_len").get<int>(), request.dump());
            for (const auto& [set, width] : runs_in_turn(turn++)) {
                INFO("kernel set " << set->name << ", threads " << width);
                const auto [text, logits] = sample(model, *set, width, request);
                CHECK(text == request.at("text").get<std::string>());
                CHECK(logits == request.at("logits").get<std::string>());
            }
        }
    }
}

/// Writes tests/golden/exact.json anew, by the baseline set: for when the arithmetic was changed on purpose.
TEST_CASE("exact: write the golden texts", "[.write]") {
    auto golden = nlohmann::ordered_json::parse(test::golden_bytes("exact.json"));
    for (auto& variant : golden["variants"]) {
        const ModelFile model = golden_model(variant);
        for (auto& request : variant["requests"]) {
            const auto [text, logits] = sample(model, *available_kernels().back(), 1, request);
            request["text"] = text;
            request["logits"] = logits;
        }
    }
    std::ofstream(test::golden_path("exact.json")) << golden.dump(1) << "\n";
}

TEST_CASE("exact: Gaussian steps, f64 and all") {
    const int vocab_size = 11;
    Hash hash;
    GaussianConfig configs[] = {warped_gaussian(vocab_size), GaussianConfig{}};
    hash.add(configs[0].knots);
    for (const GaussianConfig& config : configs) {
        const GaussianDiffusion diffusion = GaussianDiffusion::create(config, vocab_size).value();
        const std::vector<NoiseLevel> levels = test::levels_of(diffusion.schedule(), 40);
        std::vector<double> eps(vocab_size), x_hat(vocab_size);
        std::vector<float> z(vocab_size), logits(vocab_size);
        normals(eps, 5, 0, 0, Purpose::pure_noise);
        diffusion.apply({0, 0, 1}, {}, eps, z);
        for (std::uint32_t step = 0; step < 40; ++step) {
            const NoiseLevel t = diffusion.schedule().churned(levels[step], 0.15);
            normals(eps, 5, 0, step, Purpose::churn);
            diffusion.apply(diffuse(levels[step], t), {}, eps, z);
            diffusion.likelihood(t, z, logits);
            for (int i = 0; i < vocab_size; ++i) logits[i] += 0.25f * static_cast<float>(i % 5) - 0.5f;
            REQUIRE(diffusion.estimate(t, z, logits, x_hat, 0.9, 8));
            hash.add(x_hat);
            normals(eps, 5, 0, step, Purpose::reverse);
            diffusion.apply(step % 3 == 0 ? ddim(t, levels[step + 1]) : ddpm(t, levels[step + 1]), x_hat, eps, z);
            hash.add(z);
        }
    }
    CHECK(hash.hex() == "93fcbfbde25eea32");
}

TEST_CASE("exact: a set is trusted where it gives the baseline's bits, and not otherwise") {
    for (const KernelSet* set : available_kernels()) CHECK(passes_self_test(*set, Precision::int8));
    if (available_kernels().size() == 1) return;
    const KernelSet& front = *available_kernels().front();
    // Each kernel a little wrong, and only where it is easily overlooked.
    static IntegerKernels integer;
    static Microkernels floats;
    const auto refused_with = [&](auto change) {
        integer = *front.integer;
        floats = *front.uncontracted;
        change();
        KernelSet broken = front;
        broken.integer = &integer;
        broken.uncontracted = &floats;
        return !passes_self_test(broken, Precision::int8);
    };
    static const IntegerKernels sound = *front.integer;
    CHECK(refused_with([] {
        integer.u7s8.tile = [](std::int32_t* c, std::ptrdiff_t stride, const void* a, std::ptrdiff_t a_stride,
                               const void* b, int depth) {
            sound.u7s8.tile(c, stride, a, a_stride, b, depth);
            for (int i = 0; i < sound.u7s8.rows; ++i)  // as 16 bits saturate somewhere on the way
                for (int j = 0; j < sound.u7s8.cols; ++j)
                    c[i * stride + j] = std::max(c[i * stride + j], -128 * 126 * depth);
        };
    }));
    CHECK(refused_with([] {
        integer.i16.tile = [](std::int32_t* c, std::ptrdiff_t stride, const void* a, std::ptrdiff_t a_stride,
                              const void* b, int depth) {
            sound.i16.tile(c, stride, a, a_stride, b, depth);
            for (int i = 0; i < sound.i16.rows; ++i)
                for (int j = 0; j < sound.i16.cols; ++j) c[i * stride + j] = std::min(c[i * stride + j], 1 << 29);
        };
    }));
    CHECK(refused_with([] { floats.exp_sum = [](float*, int, float, float) { return 1.f; }; }));
    CHECK(refused_with([] { floats.scale = [](float* y, const float* x, int n, float) { std::copy_n(x, n, y); }; }));
    CHECK(
        refused_with([] { floats.add = [](float* y, const float* a, const float*, int n) { std::copy_n(a, n, y); }; }));
    CHECK(refused_with(
        [] { floats.rms_norm = [](float* out, const float* in, int n, float) { std::copy_n(in, n, out); }; }));
    CHECK(refused_with([] { floats.product.tile = [](float* c, const void*, const void*, int, bool) { c[0] = 0; }; }));
    CHECK_FALSE(refused_with([] {}));
}

TEST_CASE("exact: the fastest of several sets is found by timing, and gives the same bits all the way") {
    const KernelSet sets[4] = {};
    const double times[4] = {1.5, 1, 1.1, 9};
    std::vector<const KernelSet*> all;
    for (const KernelSet& set : sets) all.push_back(&set);
    KernelRace fastest(all);
    int passes[4] = {};
    while (!fastest.converged()) {
        const auto at = &fastest.next() - sets;
        fastest.record_time(times[at] * (++passes[at] == 1 ? 3 : 1));  // the first time is cold
        REQUIRE(passes[at] <= 5);
    }
    CHECK(&fastest.next() == &sets[1]);
    KernelRace again = fastest;
    again.restart();
    CHECK(&again.next() == &sets[0]);
    CHECK(std::vector<int>(passes, passes + 4) == std::vector<int>{2, 5, 5, 2});
    CHECK(KernelRace({all.data(), 1}).converged());

    // What a sample meets: several sets within one run, against the baseline alone.
    const nlohmann::json golden = test::golden_json("exact.json");
    const nlohmann::json& variant = golden.at("variants")[0];
    const ModelFile model = golden_model(variant);
    ThreadPool threads(2);
    ExactOps ops(threads, best_kernels(Precision::int8));
    Denoiser denoiser = Denoiser::create(ops, model.config, model.values(), false).value();
    const KernelSet* baseline = available_kernels().back();
    ExactOps plain_ops(threads, {&baseline, 1});
    Denoiser plain = Denoiser::create(plain_ops, model.config, model.values(), false).value();
    HostForward network(denoiser), baseline_network(plain);
    std::vector<int> ids(40);
    std::vector<float> logits(area(40, model.config.vocab_size)), expected(logits.size());
    Random random(46);
    CHECK(plain_ops.converged());
    CHECK(ops.converged() == (best_kernels(Precision::int8).size() == 1));
    for (std::size_t pass = 0; pass < 5 * best_kernels(Precision::int8).size() + 4; ++pass) {
        for (int& id : ids) id = random.below(model.config.vocab_size);
        REQUIRE(network.forward(ids, {}, 1, 40, logits));
        REQUIRE(baseline_network.forward(ids, {}, 1, 40, expected));
        REQUIRE(same_bits(logits, expected));
    }
    const KernelSet* chosen = &ops.kernels();
    REQUIRE(ops.converged());
    REQUIRE(network.forward(ids, {}, 1, 40, logits));
    CHECK(&ops.kernels() == chosen);
}

TEST_CASE("exact: logits agree within what their arithmetic allows, and a NaN never does") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> expected{1.f, -4.f, 0.f}, near{1.001f, -4.f, 0.f}, rough{1.3f, -4.f, 0.f},
        wild{2.f, -4.f, 0.f};
    CHECK(compare_logits(expected, expected, Precision::int8).good);
    CHECK_FALSE(compare_logits(near, expected, Precision::int8).good);
    CHECK(compare_logits(near, expected, Precision::f32).good);
    CHECK_FALSE(compare_logits(rough, expected, Precision::f32).good);
    CHECK(compare_logits(rough, expected, Precision::bf16).good);
    CHECK_FALSE(compare_logits(wild, expected, Precision::bf16).good);
    CHECK_FALSE(compare_logits({}, {}, Precision::f32).good);
    for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8}) {
        for (std::size_t position = 0; position < 3; ++position) {
            std::vector<float> damaged = expected;
            damaged[position] = nan;
            CHECK_FALSE(compare_logits(damaged, expected, precision).good);
            CHECK(std::isnan(compare_logits(damaged, expected, precision).largest_difference));
        }
    }
}

}  // namespace
}  // namespace folio
