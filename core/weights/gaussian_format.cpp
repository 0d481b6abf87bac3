#include "core/base/text.h"
#include "core/process/noise_schedule.h"
#include "core/weights/process_format.h"

namespace folio {

namespace {

Result<ProcessConfig> read_gaussian(Fields& fields) {
    ProcessConfig process{ProcessKind::gaussian, -1, {}};
    GaussianConfig& gaussian = process.gaussian;
    const std::string prediction = fields.string("prediction"), schedule = fields.string("schedule");
    gaussian.centred = fields.boolean("centred");
    if (schedule == "linear") gaussian.steps = fields.integer("steps");
    if (schedule == "warped") gaussian.knots = fields.numbers("knots");
    if (fields.error()) return fail(fields.error()->sentence);
    gaussian.prediction = prediction == "x0" ? GaussianPrediction::x0 : GaussianPrediction::eps;
    gaussian.schedule = schedule == "warped" ? GaussianSchedule::warped : GaussianSchedule::linear;
    if (prediction == "x0") gaussian.matched_filter = fields.boolean("matched_filter");
    if (fields.error()) return fail(fields.error()->sentence);
    if (prediction != name_of(gaussian.prediction))
        return fail("the weights file predicts " + quote(prediction) + ", but only x0 and eps are known");
    if (schedule != name_of(gaussian.schedule)) {
        return fail("the weights file asks for the schedule " + quote(schedule) +
                    ", but only linear and warped are known");
    }
    // Any vocabulary: the schedule is what can be wrong.
    if (const auto valid = NoiseSchedule::create(gaussian); !valid)
        return fail("the weights file cannot be used: " + valid.error().sentence);
    return process;
}

void write_gaussian(const ProcessConfig& process, nlohmann::ordered_json& object) {
    const GaussianConfig& gaussian = process.gaussian;
    object.update({{"prediction", name_of(gaussian.prediction)},
                   {"schedule", name_of(gaussian.schedule)},
                   {"centred", gaussian.centred}});
    if (gaussian.schedule == GaussianSchedule::linear)
        object["steps"] = gaussian.steps;
    else
        object["knots"] = gaussian.knots;
    if (gaussian.prediction == GaussianPrediction::x0) object["matched_filter"] = gaussian.matched_filter;
}

Result<void> check_gaussian(const ProcessConfig& process, const ModelConfig& config) {
    if (!config.soft_tokens) return fail("the weights file's model takes no mixtures, which a Gaussian model must");
    if (config.self_conditioning && process.gaussian.prediction == GaussianPrediction::eps) {
        return fail(
            "the weights file's model predicts eps, which self-conditioning does not support, yet has "
            "self_conditioning set");
    }
    if (config.causal) return fail("the weights file's model is causal, which only an autoregressive model is");
    return {};
}

}  // namespace

const ProcessFormat gaussian_format{read_gaussian, write_gaussian, check_gaussian};

}  // namespace folio
