// What the page can ask of the engine. One model at a time, one sample at a time; strings are UTF-8 and end with a
// zero; pointers given out stay valid until the next call of the same function.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/philox.h"
#include "core/base/text.h"
#include "core/ops/cpu/make_ops.h"
#include "core/predict/kernel_choice.h"
#include "core/predict/kernel_self_test.h"
#include "core/sampling/gaps.h"
#include "core/sampling/json_request.h"
#include "core/weights/json.h"
#include "core/weights/model_file.h"
#include "web/wasm/parallel.h"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace folio {
namespace {

using nlohmann::json;

/// A loaded model, ready to run.
struct Model {
    ModelFile file;                        // its parameters are packed away
    std::vector<const KernelSet*> choice;  // the sets that its passes may run on
    std::unique_ptr<CpuOps> ops;
    std::optional<Denoiser> denoiser;

    Precision precision() const { return file.exact() ? Precision::int8 : Precision::f32; }
};

WasmParallel parallel;
std::unique_ptr<Model> model, reader;  // the sampled one, and the one that proofreads
std::optional<Proofreader> proofreader;
std::unique_ptr<Sampler> sampler;
bool proofreads = false;                    // the sample
const KernelSet* wanted_kernels = nullptr;  // null: the best that is right here
std::string failure, answer;
std::vector<std::uint8_t> frame_bytes;
State state;

/// Keeps the sentence for folio_error, as a sentence of its own.
int failed(const Error& error) {
    failure = error.sentence;
    if (!failure.empty() && failure[0] >= 'a' && failure[0] <= 'z') failure[0] -= 'a' - 'A';
    if (failure.empty() || failure.back() != '.') failure += '.';
    return 1;
}

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

Result<std::unique_ptr<Model>> make_model(Result<ModelFile> file) {
    if (!file) return tl::unexpected(file.error());
    auto made = std::make_unique<Model>();
    made->file = std::move(*file);
    const Precision precision = made->precision();
    const auto sets = wanted_kernels ? std::span(&wanted_kernels, 1) : best_kernels(precision);
    made->choice.assign(sets.begin(), sets.end());
    made->ops = make_ops(parallel, sets, precision);
    auto denoiser = Denoiser::create(*made->ops, made->file.config, made->file.values(), false);
    if (!denoiser) return tl::unexpected(denoiser.error());
    made->denoiser = std::move(*denoiser);
    made->file.parameters = {};
    made->file.quantised = {};
    return made;
}

Result<int> encode(char32_t character) { return model->file.vocabulary.encode(character); }

/// A JSON object out of the page.
Result<json> read_object(std::string_view text) {
    auto parsed = parse_json(text, "the request");
    if (parsed && !parsed->is_object()) return fail("The request must be a JSON object.");
    return parsed;
}

json describe_defaults() {
    const SamplingOptions defaults = default_options(model->file.process.kind);
    json described = {{"sampler", name_of(*defaults.sampler)}, {"seed", std::to_string(defaults.seed)}, {"prompt", ""}};
    for (const SamplingOption& option : sampling_options) {
        const double value = value_of(defaults, option);
        if (std::holds_alternative<int SamplingOptions::*>(option.member)) {
            described[std::string(option.name)] = static_cast<int>(value);
        } else {
            described[std::string(option.name)] = value;
        }
    }
    return described;
}

/// A name under "proofread" asks for the proofreader that has been loaded.
Result<const Proofreader*> proofreader_of(const json& request) {
    const auto name = read_text(request, "proofread");
    if (!name) return tl::unexpected(name.error());
    if (name->empty()) return nullptr;
    if (!reader) return fail("There is no proofreader yet.");
    auto ids = proofreader_ids(model->file, reader->file);
    if (!ids) return tl::unexpected(ids.error());
    proofreader = Proofreader{std::move(*ids), autoregressive_predictor(*reader->denoiser)};
    return &*proofreader;
}

/// Replaces a model by that of a weights file, in a block of folio_allocate that is released. 0, or 1 after a failure.
int load(std::unique_ptr<Model>& target, std::uint8_t* file, std::size_t size) {
    target.reset();
    auto read = read_model(std::as_bytes(std::span(file, size)));
    std::free(file);  // before the weights are packed: a large model must not lie in memory three times
    auto made = make_model(std::move(read));
    if (!made) return failed(made.error());
    target = std::move(*made);
    return 0;
}

template <class T>
void append(const T* values, std::size_t count) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(values);
    frame_bytes.insert(frame_bytes.end(), bytes, bytes + count * sizeof(T));
    frame_bytes.resize((frame_bytes.size() + 3) & ~std::size_t{3});
}

}  // namespace

/// `size` bytes for the caller to fill; 0 where memory is out.
EXPORT(folio_allocate) void* folio_allocate(std::size_t size) { return std::malloc(size); }
EXPORT(folio_release) void folio_release(void* block) { std::free(block); }

/// Tells how many threads there are, the caller among them: once, before folio_load. The others are in folio_help.
EXPORT(folio_threads) void folio_threads(int width) { parallel.set_width(width); }
/// The life of helper number `worker`, from 1 on.
EXPORT(folio_help) void folio_help(int worker) { parallel.help(worker); }

/// Tries the kernel sets that an int8 model would run on, so that folio_load need not: a model's bytes may yet be on
/// their way.
EXPORT(folio_try_kernels) void folio_try_kernels() { best_kernels(Precision::int8); }

/// The sentence of the last failure.
EXPORT(folio_error) const char* folio_error() { return failure.c_str(); }

/// The kernel set that folio_load takes from now on; an empty name: the best that is right here. 0, or 1 after a
/// failure.
EXPORT(folio_use) int folio_use(const char* name) {
    wanted_kernels = nullptr;
    if (!*name) return 0;
    const auto set = kernels_named(name);
    if (!set) return failed(set.error());
    wanted_kernels = *set;
    return 0;
}

/// Takes over a block of folio_allocate with a weights file and loads it. 0, or 1 after a failure.
EXPORT(folio_load) int folio_load(std::uint8_t* file, std::size_t size) {
    sampler.reset();
    return load(model, file, size);
}

/// The same with an autoregressive model, which proofreads samples that ask for it.
EXPORT(folio_load_proofreader) int folio_load_proofreader(std::uint8_t* file, std::size_t size) {
    if (proofreads) sampler.reset();
    proofreader.reset();
    return load(reader, file, size);
}

/// The loaded model as JSON: config, process, vocab and training as in its file, and how it runs here. Until `settled`,
/// `kernels` is only the set of `choice` that the next pass tries.
EXPORT(folio_describe) const char* folio_describe() {
    if (!model) return "{}";
    json samplers = json::array(), sets = json::array(), choice = json::array();
    for (const SamplerName& name : sampler_names)
        if (name.process == model->file.process.kind) samplers.push_back(name.name);
    for (const KernelSet* set : available_kernels()) sets.push_back(set->name);
    for (const KernelSet* set : model->choice) choice.push_back(set->name);
    answer = "{";
    for (const auto& [key, value] : write_metadata(model->file)) {
        answer += '"' + key.substr(key.find('.') + 1) + "\":" + value + ',';
    }
    answer += "\"parameters\":" + std::to_string(parameter_count(model->file.config)) + ",\"products\":\"" +
              (model->file.exact() ? "int8" : "f32") + "\",\"kernels\":\"" + std::string(model->ops->kernels().name) +
              "\",\"settled\":" + (model->ops->converged() ? "true" : "false") + ",\"choice\":" + choice.dump() +
              ",\"sets\":" + sets.dump() + ",\"threads\":" + std::to_string(parallel.width()) +
              ",\"samplers\":" + samplers.dump() + ",\"defaults\":" + describe_defaults().dump() + "}";
    return answer.c_str();
}

/// Begins a sample as the JSON request says. 0, or 1 after a failure; the sample before is then still there.
EXPORT(folio_start) int folio_start(const char* request) {
    if (!model) return failed({"There is no model yet."});
    const auto parsed = read_object(request);
    if (!parsed) return failed(parsed.error());
    auto wanted = read_request(*parsed, model->file.process.kind, encode);
    if (!wanted) return failed(wanted.error());
    const auto proofreading = proofreader_of(*parsed);
    if (!proofreading) return failed(proofreading.error());
    auto made = make_sampler(*model->denoiser, model->file.process, std::move(*wanted), *proofreading);
    if (!made) return failed(made.error());
    sampler = std::move(*made);
    proofreads = *proofreading != nullptr;
    return 0;
}

/// All choices of lengths of the open gaps in {"text", "mark"}: JSON {"choices": [{"lengths", "text"}]}. 0 after a
/// failure.
EXPORT(folio_expand_gaps) const char* folio_expand_gaps(const char* text) {
    if (!model) return failed({"There is no model yet."}), nullptr;
    const auto parsed = read_object(text);
    const auto gaps = parsed ? read_text(*parsed, "text") : tl::unexpected(parsed.error());
    const auto mark = parsed ? read_text(*parsed, "mark", "_") : tl::unexpected(parsed.error());
    if (!gaps || !mark) return failed(gaps ? mark.error() : gaps.error()), nullptr;
    const auto choices = expand_gaps(*gaps, *mark, model->file.config.seq_len);
    if (!choices) return failed(choices.error()), nullptr;
    json list = json::array();
    for (const GapChoice& choice : *choices) list.push_back({{"lengths", choice.lengths}, {"text", choice.text}});
    answer = json{{"choices", list}}.dump();
    return answer.c_str();
}

/// Nats per character by which choices are compared, of the finished sample: of what it has filled, or where it was
/// proofread of the whole text. Not a number where there is none.
EXPORT(folio_score) double folio_score() {
    if (!sampler || !sampler->done()) return std::nan("");
    const Frame frame = sampler->frame();
    if (!proofreads) return filled_nll(frame, sampler->conditioned());
    const auto nats = text_nll(*proofreader, frame.id);
    return nats ? *nats : std::nan("");
}

/// Which of {"choices": [{"lengths", "nats_per_char"}]} is the best; -1 after a failure.
EXPORT(folio_best_choice) int folio_best_choice(const char* text) {
    const auto parsed = read_object(text);
    if (!parsed) return -failed(parsed.error());
    const auto list = parsed->find("choices");
    if (list == parsed->end() || !list->is_array() || list->empty()) return -failed({"There are no choices."});
    std::vector<GapChoice> choices;
    std::vector<double> nats;
    for (const json& choice : *list) {
        if (!choice.is_object() || !choice.contains("nats_per_char") || !choice["nats_per_char"].is_number())
            return -failed({"A choice has no nats_per_char."});
        nats.push_back(choice["nats_per_char"].get<double>());
        GapChoice& made = choices.emplace_back();
        for (const json& length : choice.value("lengths", json::array()))
            made.lengths.push_back(length.is_number() ? length.get<int>() : 0);
    }
    return best_choice(choices, nats);
}

/// One step of the sampler. 1: another is left; 0: the text is finished; -1: failed.
EXPORT(folio_step) int folio_step() {
    if (!sampler) return -failed({"There is no sample yet."});
    if (auto stepped = sampler->step(); !stepped) return -failed(stepped.error());
    return sampler->done() ? 0 : 1;
}

/// The frame of the present step, little-endian: int32 step, steps, length, done, window_first, window_length,
/// edits_applied, passes_saved, scored; then position by position int32 id, uint8 flags (padded to 4 bytes), float32
/// probability and entropy, int32 top_id [4], float32 top_probability [4], and where `scored` is 1 float32
/// proofread_nll, as core/sampling/sampler.h has them. 0 where there is no sample.
EXPORT(folio_frame) const std::uint8_t* folio_frame() {
    if (!sampler) return nullptr;
    const Frame frame = sampler->frame();
    const std::int32_t head[] = {frame.step,          frame.steps,        static_cast<std::int32_t>(frame.id.size()),
                                 frame.done,          frame.window_first, frame.window_length,
                                 frame.edits_applied, frame.passes_saved, !frame.proofread_nll.empty()};
    frame_bytes.clear();
    append(head, std::size(head));
    append(frame.id.data(), frame.id.size());
    append(frame.flags.data(), frame.flags.size());
    append(frame.probability.data(), frame.probability.size());
    append(frame.entropy.data(), frame.entropy.size());
    append(frame.top_id.data(), frame.top_id.size());
    append(frame.top_probability.data(), frame.top_probability.size());
    append(frame.proofread_nll.data(), frame.proofread_nll.size());
    return frame_bytes.data();
}
EXPORT(folio_frame_size) std::size_t folio_frame_size() { return frame_bytes.size(); }

/// The logits [positions, vocab_size] of the last pass, until the next call of folio_step.
EXPORT(folio_logits) const float* folio_logits(std::size_t* count) {
    const std::span<const float> logits = sampler ? sampler->logits() : std::span<const float>();
    *count = logits.size();
    return logits.data();
}

/// Applies an edit (`noise:135-156:60`, ...) at the present step. 0, or 1 after a failure.
EXPORT(folio_edit) int folio_edit(const char* text) {
    if (!sampler) return failed({"There is no sample yet."});
    const auto edit = parse_action(text, static_cast<int>(sampler->frame().id.size()), encode);
    if (!edit) return failed(edit.error());
    if (auto ok = sampler->edit(*edit); !ok) return failed(ok.error());
    return 0;
}

/// The sampler's whole state, for folio_restore. 0 where there is no sample.
EXPORT(folio_save) const std::uint8_t* folio_save(std::size_t* size) {
    if (!sampler) return failed({"There is no sample yet."}), nullptr;
    state = sampler->save();
    *size = state.size();
    return state.data();
}

/// The state of a recorded frame of this sample, for folio_restore: int32 step, steps, length, then position by
/// position int32 id, int32 revealed_at, float32 probability, uint8 flags. 0 after a failure.
EXPORT(folio_recorded_state)
const std::uint8_t* folio_recorded_state(const std::uint8_t* bytes, std::size_t size, std::size_t* state_size) {
    if (!sampler) return failed({"There is no sample yet."}), nullptr;
    std::int32_t head[3];
    const std::size_t length = sampler->conditioned().size();
    const bool fits = size == sizeof head + 13 * length;
    if (fits) std::memcpy(head, bytes, sizeof head);
    if (!fits || head[2] != static_cast<std::int32_t>(length))
        return failed({"The recorded frame is not of this sample."}), nullptr;
    RecordedStep step{head[0],
                      head[1],
                      std::vector<int>(length),
                      std::vector<int>(length),
                      std::vector<float>(length),
                      std::vector<std::uint8_t>(length)};
    bytes += sizeof head;
    const auto take = [&](auto& values) {
        std::memcpy(values.data(), bytes, values.size() * sizeof values[0]);
        bytes += values.size() * sizeof values[0];
    };
    take(step.id);
    take(step.revealed_at);
    take(step.probability);
    take(step.flags);
    state = sampler->recorded_state(step);
    *state_size = state.size();
    return state.data();
}

/// Takes the sampler back (or on) to a state of the same request. 0, or 1 after a failure.
EXPORT(folio_restore) int folio_restore(const std::uint8_t* bytes, std::size_t size) {
    if (!sampler) return failed({"There is no sample yet."});
    if (auto ok = sampler->restore(State(bytes, bytes + size)); !ok) return failed(ok.error());
    return 0;
}

/// JSON: for every kernel set of this module whether a pass of a layer in the loaded model's arithmetic gives what the
/// baseline's gives, and the best time of that pass (`base` width, 64 positions) on all threads.
EXPORT(folio_time_kernels) const char* folio_time_kernels() {
    const Precision precision = model ? model->precision() : Precision::f32;
    json kernels = json::array();
    for (const KernelSet* set : available_kernels()) {
        // Before it is timed: an engine that compiles better after a while may be right only then.
        const bool correct = is_trusted(*set, precision);
        auto test = KernelSelfTest::create(parallel, *set, precision, 384, 64, {});
        if (!test) continue;
        double best = 1e30;
        for (int round = 0; round < 20; ++round) {
            const auto begin = std::chrono::steady_clock::now();
            if (!test->pass()) break;
            best = std::min(best, milliseconds_since(begin));
        }
        kernels.push_back({{"name", set->name}, {"correct", correct}, {"ms", best}});
    }
    answer = json{{"kernels", kernels}}.dump();
    return answer.c_str();
}

}  // namespace folio
