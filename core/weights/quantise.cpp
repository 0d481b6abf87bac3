#include "core/weights/quantise.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "core/base/philox.h"

namespace folio {
namespace {

/// x Q for an orthogonal Q of any size n = 2^k m: signs by chance, then a Hadamard matrix of 2^k times the reflection I
/// - 2 / m.
void turn(std::vector<double>& x) {
    const std::size_t n = x.size();
    std::size_t odd = n;
    while (odd % 2 == 0) odd /= 2;
    for (std::size_t i = 0; i < n; ++i)
        if (philox_word(0, i, 0, Purpose::quantise) & 1) x[i] = -x[i];
    for (std::size_t first = 0; first < n; first += odd) {
        double sum = 0;
        for (std::size_t i = 0; i < odd; ++i) sum += x[first + i];
        for (std::size_t i = 0; i < odd; ++i) x[first + i] -= 2 * sum / static_cast<double>(odd);
    }
    for (std::size_t half = odd; half < n; half *= 2) {
        for (std::size_t first = 0; first < n; first += 2 * half) {
            for (std::size_t i = first; i < first + half; ++i) {
                const double a = x[i], b = x[i + half];
                x[i] = (a + b) * std::sqrt(0.5);
                x[i + half] = (a - b) * std::sqrt(0.5);
            }
        }
    }
}

/// True if a tensor's columns lie in the residual stream; else its rows do.
bool reads_stream(const TensorSpec& tensor) { return !tensor.name.ends_with("c_proj.weight"); }

/// `values` [rows, cols] as it is for a turned stream; false where that is too large for f32.
bool turn(const TensorSpec& tensor, float* values) {
    const bool reads = reads_stream(tensor);
    const auto rows = static_cast<std::size_t>(tensor.rows), cols = static_cast<std::size_t>(tensor.cols);
    const std::size_t length = reads ? cols : rows, step = reads ? 1 : cols;
    std::vector<double> line(length);
    double largest = 0;
    for (std::size_t n = 0; n < (reads ? rows : cols); ++n) {
        float* first = values + n * (reads ? cols : 1);
        for (std::size_t i = 0; i < length; ++i) line[i] = first[i * step];
        turn(line);
        for (const double value : line) largest = std::max(largest, std::abs(value));
        if (largest > std::numeric_limits<float>::max()) return false;
        for (std::size_t i = 0; i < length; ++i) first[i * step] = static_cast<float>(line[i]);
    }
    return true;
}

struct Channel {
    float scale;
    double error;  // the sum of squares
};

/// Rounds a channel by a given scale; `out` may be null.
Channel round_channel(const float* values, int count, float scale, std::int8_t* out) {
    Channel channel{scale, 0};
    for (int i = 0; i < count; ++i) {
        const float rounded = std::clamp(std::nearbyint(values[i] / scale), -127.f, 127.f);
        const double error = static_cast<double>(rounded) * scale - values[i];
        channel.error += error * error;
        if (out != nullptr) out[i] = static_cast<std::int8_t>(rounded);
    }
    return channel;
}

}  // namespace

Result<ModelFile> quantise(const ModelFile& model) {
    assert(!model.exact());
    ModelFile result = model;
    const std::size_t embeddings = embedding_count(model.config);
    std::vector<float>& turned = result.parameters;
    result.quantised.resize(turned.size() - embeddings);
    bool finite = true;
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        // The article's trunk adds positions to its stream, and a filter multiplies each of its channels: no weight
        // could turn those.
        finite = finite && (model.config.trunk == Trunk::article || model.config.conv_radius > 0 ||
                            turn(tensor, turned.data() + tensor.offset));
        if (!finite || !is_multiplied(tensor.kind)) return;
        for (int row = 0; row < tensor.rows; ++row) {
            const std::size_t at =
                tensor.offset + static_cast<std::size_t>(row) * static_cast<std::size_t>(tensor.cols);
            const float* values = turned.data() + at;
            float largest = 0;
            for (int i = 0; i < tensor.cols; ++i) largest = std::max(largest, std::abs(values[i]));
            const float widest = largest / 127;
            Channel best{1, 0};
            if (widest >= std::numeric_limits<float>::min()) {
                // A narrower grid cuts the largest value off and resolves all others better.
                best = round_channel(values, tensor.cols, widest, nullptr);
                for (int percent = 98; percent >= 70; percent -= 2) {
                    const Channel next =
                        round_channel(values, tensor.cols, widest * static_cast<float>(percent) / 100, nullptr);
                    if (next.error < best.error) best = next;
                }
            }
            round_channel(values, tensor.cols, best.scale, result.quantised.data() + (at - embeddings));
            result.scales.push_back(best.scale);
        }
    });
    if (!finite)
        return fail("The weights are too large to be rounded to int8; they are no good, so train the model again.");
    turned.resize(embeddings);
    return result;
}

ModelFile dequantise(const ModelFile& model) {
    assert(model.exact());
    ModelFile result = model;
    result.quantised.clear();
    result.scales.clear();
    result.parameters.reserve(parameter_count(model.config));
    const std::int8_t* whole = model.quantised.data();
    const float* scale = model.scales.data();
    for_each_tensor(model.config, [&](const TensorSpec& tensor) {
        if (!is_multiplied(tensor.kind)) return;
        for (int row = 0; row < tensor.rows; ++row, ++scale)
            for (int i = 0; i < tensor.cols; ++i) result.parameters.push_back(static_cast<float>(*whole++) * *scale);
    });
    return result;
}

}  // namespace folio
