#include "core/training/initialisation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/philox.h"
#include "core/model/parameters.h"

namespace folio {

std::vector<float> initial_parameters(const ModelConfig& config, std::uint64_t seed) {
    std::vector<float> parameters(parameter_count(config));
    std::uint32_t number = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        const std::uint32_t tensor_number = number++;
        // Rows of soft tokens beside their characters begin as zeros.
        const bool beside = config.soft_tokens && tensor.kind == TensorKind::embedding && tensor.offset > 0;
        if (tensor.kind == TensorKind::head || tensor.kind == TensorKind::filter ||
            tensor.name.ends_with("c_proj.weight") || beside)
            return;
        const double fan = static_cast<double>(tensor.rows) / tensor.cols;
        const double deviation =
            tensor.kind == TensorKind::embedding ? 1.0 : std::min(1.0, std::sqrt(fan)) / std::sqrt(tensor.cols);
        float* values = parameters.data() + tensor.offset;
        for (std::size_t i = 0; i < tensor.count(); ++i) {
            const Words words = philox(seed, i, tensor_number, Purpose::initialise);
            const double radius = std::sqrt(-2.0 * std::log(uniform(words.word[0])));
            values[i] =
                static_cast<float>(deviation * radius * std::cos(6.28318530717958647692 * uniform(words.word[1])));
        }
    });
    return parameters;
}

namespace {

/// A filter's rows by their offsets, as far as both have them.
void copy_offsets(float* to, const ModelConfig& config, const float* from, const ModelConfig& source) {
    for (int row = 0; row < config.conv_taps(); ++row) {
        const int source_row = row - config.conv_radius + source.conv_radius;
        if (source_row < 0 || source_row >= source.conv_taps()) continue;
        std::copy_n(from + static_cast<std::ptrdiff_t>(source_row) * config.d_model, config.d_model,
                    to + static_cast<std::ptrdiff_t>(row) * config.d_model);
    }
}

}  // namespace

Result<TransferredParameters> transfer_parameters(const ModelConfig& source, std::span<const float> values,
                                                  const ModelConfig& config, std::uint64_t seed) {
    std::map<std::string, TensorSpec> given;
    for_each_tensor(source, [&](const TensorSpec& tensor) { given.emplace(tensor.name, tensor); });
    TransferredParameters result{initial_parameters(config, seed), {}};
    Result<void> status;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        if (!status) return;
        const auto found = given.find(tensor.name);
        if (found == given.end()) {
            if (is_multiplied(tensor.kind)) status = fail(tensor.name + " is missing");
            result.initialised.push_back(tensor.name);
            return;
        }
        const TensorSpec& from = found->second;
        if (tensor.kind == TensorKind::filter) {
            copy_offsets(result.parameters.data() + tensor.offset, config, values.data() + found->second.offset,
                         source);
            given.erase(found);
            return;
        }
        const bool by_character = tensor.kind != TensorKind::matrix;
        if (from.cols != tensor.cols || (by_character ? from.rows > tensor.rows : from.rows != tensor.rows)) {
            const auto shape = [](const TensorSpec& t) {
                return "[" + std::to_string(t.rows) + ", " + std::to_string(t.cols) + "]";
            };
            status = fail(tensor.name + " is " + shape(from) + ", where " + shape(tensor) + " is needed");
            return;
        }
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(from.offset), from.count(),
                    result.parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset));
        given.erase(found);
    });
    for_each_tensor(source, [&](const TensorSpec& tensor) {
        if (status && given.contains(tensor.name)) status = fail(tensor.name + " has no place");
    });
    if (!status) return tl::unexpected(status.error());
    return result;
}

}  // namespace folio
