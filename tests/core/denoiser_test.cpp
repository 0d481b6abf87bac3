#include <catch2/catch.hpp>

#include <span>
#include <string>

#include "core/model/denoiser.h"
#include "core/model/parameters.h"
#include "core/ops/cpu/cpu_training_ops.h"
#include "core/ops/reference.h"
#include "core/predict/host_forward.h"
#include "core/weights/safetensors.h"
#include "tests/backends.h"
#include "tests/test_support.h"

// The whole trunk against golden numbers from an independent float64 generator (tests/golden): logits, loss and every
// gradient tensor, under every micro-kernel set of this machine.

namespace folio {
namespace {

struct GoldenModel {
    ModelConfig config;
    int mask_id = -1;  // none
    std::vector<float> parameters;
};

/// Any process: the trunk runs more than the reader of model files lets through.
GoldenModel golden_model(const std::string& name) {
    const std::string bytes = test::golden_bytes(name + ".safetensors");
    const auto file = read_safetensors(std::as_bytes(std::span(bytes)));
    REQUIRE(file);
    const auto config = nlohmann::json::parse(file->metadata.at("folio.config"));
    const auto process = nlohmann::json::parse(file->metadata.at("folio.process"));
    GoldenModel model;
    model.config.vocab_size = config.at("vocab_size");
    model.config.seq_len = config.at("seq_len");
    model.config.d_model = config.at("d_model");
    model.config.n_layer = config.at("n_layer");
    model.config.n_head = config.at("n_head");
    model.config.d_ff = config.at("d_ff");
    model.config.norm_eps = config.at("norm_eps");
    model.config.causal = config.at("causal");
    model.config.time_rows = config.at("time_rows");
    model.config.conv_radius = config.value("conv_radius", 0);
    model.config.trunk = config.at("trunk") == "article" ? Trunk::article : Trunk::modern;
    model.config.soft_tokens = config.value("input", "") == "mixture";
    model.config.self_conditioning = config.value("self_conditioning", false);
    REQUIRE(validate(model.config));
    model.mask_id = process.value("mask_id", -1);
    model.parameters.resize(parameter_count(model.config));
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        const TensorView* view = file->find(tensor.name);
        REQUIRE(view);
        REQUIRE(view->count() == tensor.count());
        to_floats(*view, model.parameters.data() + tensor.offset);
    });
    return model;
}

/// Numbers of JSON, nested or not, in row order.
template <class T>
std::vector<T> flat(const nlohmann::json& numbers) {
    std::vector<T> values;
    for (const auto& element : numbers) {
        if (element.is_array()) {
            for (const T& value : flat<T>(element)) values.push_back(value);
        } else {
            values.push_back(element.get<T>());
        }
    }
    return values;
}

template <class T>
T* put(Ops& ops, std::vector<Storage>& storages, const std::vector<T>& values) {
    storages.push_back(ops.allocate(values.size() * sizeof(T)).value());
    T* data = storages.back().template as<T>();
    ops.upload(data, values.data(), values.size() * sizeof(T));
    return data;
}

std::vector<float> get(Ops& ops, const float* data, std::size_t count) {
    std::vector<float> values(count);
    REQUIRE(ops.synchronize());
    ops.download(values.data(), data, count * sizeof(float));
    return values;
}

/// The largest difference, by the largest number that there should be.
template <class T>
double distance(const T* actual, const std::vector<double>& expected) {
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
        if (!(error <= worst)) worst = error;  // NaN too
        largest = std::max(largest, std::abs(expected[i]));
    }
    return worst / largest;
}

/// One training pass: logits, the sum of the losses, and the gradient arena.
struct Pass {
    std::vector<float> logits, gradients;
    double loss = 0;
};

struct Batch {
    std::vector<int> ids, targets, time_row;
    std::vector<float> soft_tokens, logit_bias,
        target_rows;  // of models that take soft tokens; with target_rows the loss is squared
    std::vector<float> weights;
    int batch = 0, length = 0, excluded = -1;
};

Pass train_pass(Ops& ops, TrainingOps& training, const ModelConfig& config, const std::vector<float>& parameters,
                const Batch& batch, const ForwardDropout& noise = {}) {
    std::vector<Storage> storages;
    const std::size_t rows = batch.weights.size();
    const auto matrix = [&](const std::vector<float>& values) {
        const int R = static_cast<int>(rows);
        return values.empty() ? Matrix()
                              : Matrix(put(ops, storages, values), R, static_cast<int>(values.size() / rows));
    };
    auto denoiser = Denoiser::create(ops, config, put(ops, storages, parameters), true);
    REQUIRE(denoiser);
    const int* time_row = batch.time_row.empty() ? nullptr : put(ops, storages, batch.time_row);
    const Input input{put(ops, storages, batch.ids), time_row, matrix(batch.soft_tokens), matrix(batch.logit_bias)};
    auto logits = denoiser->forward(input, batch.batch, batch.length, {noise, {}, nullptr});
    REQUIRE(logits);
    Pass pass;
    pass.logits = get(ops, logits->data, rows * static_cast<std::size_t>(config.vocab_size));
    float* loss = put(ops, storages, std::vector<float>(rows));
    const float* weights = put(ops, storages, batch.weights);
    if (batch.target_rows.empty()) {
        training.cross_entropy(*logits, loss, *logits, put(ops, storages, batch.targets), weights, batch.excluded);
    } else {
        training.squared_error(*logits, loss, *logits, matrix(batch.target_rows), weights);
    }
    for (float each : get(ops, loss, rows)) pass.loss += each;
    float* gradients = put(ops, storages, std::vector<float>(parameters.size(), 0.f));
    denoiser->backward(training, gradients, *logits);
    pass.gradients = get(ops, gradients, parameters.size());
    return pass;
}

Batch golden_batch(const nlohmann::json& numbers, const GoldenModel& model) {
    Batch batch;
    batch.weights = flat<float>(numbers.at("weights"));
    batch.batch = static_cast<int>(numbers.at("weights").size());
    batch.length = static_cast<int>(numbers.at("weights")[0].size());
    if (model.config.soft_tokens) {
        batch.soft_tokens = flat<float>(numbers.at("input"));
        if (numbers.contains("prior")) batch.logit_bias = flat<float>(numbers.at("prior"));
    } else {
        batch.ids = flat<int>(numbers.at("ids"));
        if (!numbers.at("time_row").is_null()) batch.time_row = flat<int>(numbers.at("time_row"));
    }
    if (model.config.trunk == Trunk::article)
        batch.target_rows = flat<float>(numbers.at("targets"));
    else
        batch.targets = flat<int>(numbers.at("targets"));
    batch.excluded = model.mask_id;
    return batch;
}

TEST_CASE("denoiser: golden logits, loss and gradients") {
    const std::string name = GENERATE("masked", "masked-time", "causal", "conv", "conv-causal", "gaussian", "article");
    INFO("case " << name);
    const GoldenModel model = golden_model(name);
    const auto numbers = test::golden_json(name + ".json");
    const Batch batch = golden_batch(numbers, model);
    const auto logits = flat<double>(numbers.at("logits"));
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        const Pass pass = train_pass(ops, training, model.config, model.parameters, batch);
        REQUIRE(pass.logits.size() == logits.size());
        // bf16 rounds every input of every product to eight bits.
        const double tolerance = precision == Precision::f32 ? 2e-6 : 2e-2;
        CHECK(distance(pass.logits.data(), logits) < tolerance);
        CHECK(pass.loss == Approx(numbers.at("loss").get<double>()).epsilon(precision == Precision::f32 ? 1e-6 : 1e-2));
        std::size_t tensors = 0;
        for_each_tensor(model.config, [&](const TensorSpec& tensor) {
            INFO(tensor.name);
            const auto expected = numbers.at("gradients").at(tensor.name).get<std::vector<double>>();
            REQUIRE(expected.size() == tensor.count());
            CHECK(distance(pass.gradients.data() + tensor.offset, expected) < 5 * tolerance);
            ++tensors;
        });
        CHECK(tensors == numbers.at("gradients").size());
    });
}

TEST_CASE("denoiser: inference gives the same logits as training, and a pass leaves nothing behind") {
    const std::string name = GENERATE("masked-time", "causal", "conv", "conv-causal", "gaussian", "article");
    const GoldenModel model = golden_model(name);
    const auto numbers = test::golden_json(name + ".json");
    const Batch batch = golden_batch(numbers, model);
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        const Pass pass = train_pass(ops, training, model.config, model.parameters, batch);
        std::vector<float> parameters = model.parameters;
        auto denoiser = Denoiser::create(ops, model.config, parameters.data(), false);
        REQUIRE(denoiser);
        HostForward network(*denoiser);
        std::fill(parameters.begin(), parameters.end(), NAN);  // needed only during the call
        std::vector<float> logits(pass.logits.size());
        // Sequences from `first` on.
        const auto predict = [&](int first, int count, std::span<float> out) {
            const auto part = [&](const auto& all) {
                const std::size_t each = all.size() / static_cast<std::size_t>(batch.batch);
                return std::span(all).subspan(each * static_cast<std::size_t>(first),
                                              each * static_cast<std::size_t>(count));
            };
            if (!model.config.soft_tokens)
                return network.forward(part(batch.ids), part(batch.time_row), count, batch.length, out);
            return network.forward_soft_tokens(part(batch.soft_tokens), part(batch.logit_bias), count, batch.length,
                                               out);
        };
        REQUIRE(predict(0, batch.batch, logits));
        CHECK(logits == pass.logits);

        // A shorter pass, then the first again; a sequence alone as within its batch.
        std::vector<float> alone(logits.size() / static_cast<std::size_t>(batch.batch));
        REQUIRE(predict(1, 1, alone));
        CHECK(std::equal(alone.begin(), alone.end(), pass.logits.begin() + static_cast<std::ptrdiff_t>(alone.size())));
        REQUIRE(predict(0, batch.batch, logits));
        CHECK(logits == pass.logits);
    });
}

TEST_CASE("denoiser: length has its bounds") {
    const GoldenModel model = golden_model("causal");
    Serial serial;
    CpuTrainingOps ops(serial, *available_kernels().front(), Precision::f32);
    auto denoiser = Denoiser::create(ops, model.config, model.parameters.data(), false);
    REQUIRE(denoiser);
    HostForward network(*denoiser);
    const int most = model.config.max_length();
    std::vector<int> ids(static_cast<std::size_t>(most) + 1);
    std::vector<float> logits(ids.size() * static_cast<std::size_t>(model.config.vocab_size));
    CHECK(network.forward(std::span(ids).first(static_cast<std::size_t>(most)), {}, 1, most,
                          std::span(logits).first(static_cast<std::size_t>(most * model.config.vocab_size))));
    CHECK_FALSE(network.forward(ids, {}, 1, most + 1, logits));
    CHECK_FALSE(network.forward({}, {}, 1, 0, {}));
}

/// A trunk of sizes that are no multiple of anything.
ModelConfig odd_config(int conv_radius = 0) {
    return {.vocab_size = 23,
            .seq_len = 21,
            .d_model = 66,
            .n_layer = 3,
            .n_head = 3,
            .d_ff = 71,
            .time_rows = 3,
            .conv_radius = conv_radius};
}

std::vector<float> random_parameters(const ModelConfig& config, test::Random& random) {
    std::vector<float> parameters;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        const double scale = tensor.kind == TensorKind::embedding ? 1
                             : tensor.kind == TensorKind::filter  ? 0.3
                                                                  : 1 / std::sqrt(tensor.cols);
        for (const float value : random.normals<float>(tensor.count(), scale)) parameters.push_back(value);
    });
    return parameters;
}

Batch random_batch(const ModelConfig& config, test::Random& random, int batch, int length) {
    const auto rows = static_cast<std::size_t>(batch * length);
    Batch result;
    result.ids = random.integers(rows, config.vocab_size);
    result.targets = random.integers(rows, config.vocab_size - 1);
    result.weights = random.normals<float>(rows, 0.1);
    result.time_row = random.integers(static_cast<std::size_t>(batch), config.time_rows);
    result.batch = batch;
    result.length = length;
    result.excluded = config.vocab_size - 1;
    return result;
}

TEST_CASE("denoiser: with dropout, the gradient is the slope of the loss") {
    const int conv_radius = GENERATE(0, 3);
    test::Random random(static_cast<std::uint64_t>(31 + conv_radius));  // slopes well above what rounding leaves
    const ModelConfig config = odd_config(conv_radius);
    const auto parameters = random_parameters(config, random), direction = random_parameters(config, random);
    const Batch batch = random_batch(config, random, 2, 21);
    const std::uint32_t step = 9;
    const ForwardDropout noise{0.2f, 4, &step, 100};
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        if (precision == Precision::bf16) return;  // too coarse for differences
        const auto moved = [&](float by) {
            auto values = parameters;
            for (std::size_t i = 0; i < values.size(); ++i) values[i] += by * direction[i];
            return train_pass(ops, training, config, values, batch, noise).loss;
        };
        const Pass pass = train_pass(ops, training, config, parameters, batch, noise);
        double slope = 0;
        for (std::size_t i = 0; i < parameters.size(); ++i) slope += double(pass.gradients[i]) * double(direction[i]);
        const float h = 1e-3f;
        CHECK((moved(h) - moved(-h)) / (2 * h) == Approx(slope).epsilon(5e-3));
        CHECK(pass.loss != train_pass(ops, training, config, parameters, batch).loss);
    });
}

TEST_CASE("denoiser: a batch cut into passes gives the same gradient, dropout included") {
    const int conv_radius = GENERATE(0, 2);
    test::Random random(32);
    const ModelConfig config = odd_config(conv_radius);
    const auto parameters = random_parameters(config, random);
    const Batch whole = random_batch(config, random, 4, 13);
    const std::uint32_t step = 9;
    ForwardDropout noise{0.2f, 4, &step, 0};
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        const Pass at_once = train_pass(ops, training, config, parameters, whole, noise);
        std::vector<double> sum(parameters.size());
        for (int part = 0; part < 2; ++part) {
            Batch half = whole;
            half.batch = 2;
            const auto cut = [&](auto& values) {
                const auto size = static_cast<std::ptrdiff_t>(values.size() / 2);
                values = {values.begin() + part * size, values.begin() + (part + 1) * size};
            };
            cut(half.ids), cut(half.targets), cut(half.weights), cut(half.time_row);
            noise.first_row = static_cast<std::uint64_t>(part * 2 * 13);
            const Pass pass = train_pass(ops, training, config, parameters, half, noise);
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += pass.gradients[i];
        }
        noise.first_row = 0;
        CHECK(distance(at_once.gradients.data(), sum) < (precision == Precision::f32 ? 1e-5 : 1e-2));
    });
}

TEST_CASE("denoiser: chosen rows of a model with a convolution are those of all, to the last bit") {
    test::Random random(33);
    ModelConfig config = odd_config(GENERATE(1, 3, 16));
    config.time_rows = 0;
    config.causal = GENERATE(false, true);
    const auto parameters = random_parameters(config, random);
    const int batch = 2, length = 17, V = config.vocab_size;
    const auto ids = random.integers(static_cast<std::size_t>(batch * length), V);
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        Denoiser denoiser = Denoiser::create(ops, config, parameters.data(), false).value();
        HostForward network(denoiser);
        std::vector<float> all(ids.size() * static_cast<std::size_t>(V)), some(all.size(), -1);
        REQUIRE(network.forward(ids, {}, batch, length, all));
        std::vector<std::vector<int>> choices{{0}, {3, 16, 17, 33}, {33}};
        for (int i = 0; i < 8; ++i) {
            choices.emplace_back();
            for (int row = 0; row < batch * length; ++row)
                if (random.below(8) < i) choices.back().push_back(row);
        }
        for (const std::vector<int>& wanted : choices) {
            REQUIRE(network.forward(ids, {}, batch, length, some, wanted));
            for (const int row : wanted)
                CHECK(std::equal(some.begin() + row * V, some.begin() + (row + 1) * V, all.begin() + row * V));
        }
    });
}

TEST_CASE("optimisers: golden AdamW") {
    const auto numbers = test::golden_json("adamw.json");
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        std::vector<Storage> storages;
        const auto initial = numbers.at("initial").get<std::vector<float>>();
        const std::size_t count = initial.size();
        float *p = put(ops, storages, initial), *m = put(ops, storages, std::vector<float>(count)),
              *v = put(ops, storages, std::vector<float>(count));
        const float* scale = put(ops, storages, std::vector<float>{1.f});
        AdamW options;
        options.beta1 = numbers.at("beta1").get<float>();
        options.beta2 = numbers.at("beta2").get<float>();
        options.eps = numbers.at("eps").get<float>();
        int step = 0;
        for (const auto& expected : numbers.at("steps")) {
            INFO("step " << ++step);
            options.lr = expected.at("lr").get<float>();
            options.weight_decay = expected.at("weight_decay").get<float>();
            options.correction1 = static_cast<float>(1 - std::pow(numbers.at("beta1").get<double>(), step));
            options.correction2 = static_cast<float>(1 - std::pow(numbers.at("beta2").get<double>(), step));
            training.adamw(p, m, v, put(ops, storages, expected.at("gradient").get<std::vector<float>>()), scale, count,
                           put(ops, storages, std::vector{options}));
            CHECK(distance(get(ops, p, count).data(), expected.at("parameters").get<std::vector<double>>()) < 1e-6);
            CHECK(distance(get(ops, m, count).data(), expected.at("m").get<std::vector<double>>()) < 1e-6);
            CHECK(distance(get(ops, v, count).data(), expected.at("v").get<std::vector<double>>()) < 1e-6);
            // Element by element too: the small ones move as far as the large ones.
            const auto is = get(ops, p, count);
            const auto should = expected.at("parameters").get<std::vector<double>>();
            for (std::size_t i = 0; i < count; ++i) CHECK(is[i] == Approx(should[i]).epsilon(1e-5).margin(1e-7));
        }
    });
}

TEST_CASE("optimisers: golden Muon") {
    const auto numbers = test::golden_json("muon.json");
    for (const auto& one : numbers.at("newton_schulz")) {
        const int rows = one.at("rows"), cols = one.at("cols");
        const auto x = reference::newton_schulz(one.at("input").get<std::vector<double>>(), rows, cols);
        CHECK(distance(x.data(), one.at("output").get<std::vector<double>>()) < 1e-12);
    }
    const auto& run = numbers.at("nesterov");
    const int rows = run.at("rows"), cols = run.at("cols");
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        std::vector<Storage> storages;
        const auto initial = run.at("initial").get<std::vector<float>>();
        float *p = put(ops, storages, initial), *momentum = put(ops, storages, std::vector<float>(initial.size()));
        const float* scale = put(ops, storages, std::vector<float>{1.f});
        const Muon options{run.at("lr").get<float>(), run.at("momentum").get<float>(),
                           run.at("weight_decay").get<float>()};
        for (const auto& expected : run.at("steps")) {
            training.muon(p, momentum, put(ops, storages, expected.at("gradient").get<std::vector<float>>()), scale,
                          rows, cols, 1, 0, put(ops, storages, std::vector{options}));
            CHECK(distance(get(ops, p, initial.size()).data(), expected.at("parameters").get<std::vector<double>>()) <
                  (precision == Precision::f32 ? 1e-5 : 1e-2));
            CHECK(distance(get(ops, momentum, initial.size()).data(),
                           expected.at("buffer").get<std::vector<double>>()) < 1e-6);
        }
    });
}

TEST_CASE("a text read in pieces gets the logits of the whole, to the last bit") {
    GoldenModel golden = golden_model("causal");
    if (GENERATE(false, true)) {
        test::Random parameters(9);
        golden.config.conv_radius = 3;
        golden.parameters = random_parameters(golden.config, parameters);
    }
    const int length = 31, V = golden.config.vocab_size;
    std::vector<int> ids;
    test::Random random(8);
    for (int i = 0; i < length; ++i) ids.push_back(random.below(V));
    test::for_each_backend([&](const test::Backend& backend) {
        const auto& [name, precision, ops, training, rounded_head] = backend;
        INFO("backend " << name);
        Denoiser denoiser = Denoiser::create(ops, golden.config, golden.parameters.data(), false).value();
        HostForward network(denoiser);
        std::vector<float> whole(static_cast<std::size_t>(length * V)), predicted(whole.size());
        REQUIRE(network.decode(ids, 0, whole));
        REQUIRE(network.forward(ids, {}, 1, length, predicted));
        CHECK(whole == predicted);
        std::vector<float> logits;
        int known = 0;
        // Longer than the room that was made at first, and back again.
        for (const int end : {5, 6, 7, 20, 30, 31, 31, 12, 13}) {
            known = std::min(known, end - 1);
            for (const int rows : {1, end - known}) {
                logits.assign(static_cast<std::size_t>(rows * V), 0);
                REQUIRE(network.decode(std::span(ids).first(static_cast<std::size_t>(end)), known, logits));
                INFO("positions " << known << " to " << end << ", rows " << rows);
                CHECK(std::equal(logits.begin(), logits.end(), whole.begin() + (end - rows) * V));
            }
            known = end;
        }
    });
    Serial serial;
    CpuTrainingOps ops(serial, *available_kernels().front(), Precision::f32);
    Denoiser denoiser = Denoiser::create(ops, golden.config, golden.parameters.data(), false).value();
    HostForward network(denoiser);
    std::vector<float> logits(static_cast<std::size_t>(V));
    const std::vector<int> long_text(static_cast<std::size_t>(golden.config.max_length() + 1));
    CHECK_FALSE(network.decode(long_text, 0, logits));
    CHECK(network.decode(std::span(long_text).subspan(1), 0, logits));
}

}  // namespace
}  // namespace folio
