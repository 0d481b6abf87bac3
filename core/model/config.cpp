#include "core/model/config.h"

#include <algorithm>
#include <cstdint>

#include "core/model/parameters.h"

namespace folio {

namespace {

constexpr std::int64_t most_floats = 1 << 26;
constexpr int widest_head = 4096;

}  // namespace

Result<void> validate(const ModelConfig& config) {
    const struct {
        const char* key;
        int value, least, most;
    } sizes[] = {
        {"vocab_size", config.vocab_size, 1, 1 << 20}, {"seq_len", config.seq_len, 1, 1 << 16},
        {"d_model", config.d_model, 1, 1 << 14},       {"n_layer", config.n_layer, 1, 512},
        {"n_head", config.n_head, 1, 1 << 10},         {"d_ff", config.d_ff, 1, 1 << 16},
        {"time_rows", config.time_rows, 0, 1 << 16},   {"conv_radius", config.conv_radius, 0, 16},
    };
    for (const auto& size : sizes) {
        if (size.value < size.least || size.value > size.most) {
            return fail(std::string("the model's ") + size.key + " is " + std::to_string(size.value) +
                        ", but must lie between " + std::to_string(size.least) + " and " + std::to_string(size.most));
        }
    }
    const std::string width = std::to_string(config.d_model), heads = std::to_string(config.n_head);
    if (config.d_model % config.n_head != 0) {
        return fail("the model's d_model of " + width + " does not divide into its " + heads +
                    " heads; choose d_model as a multiple of n_head");
    }
    if (config.head_dim() % 2 != 0) {
        return fail("the model's heads are " + std::to_string(config.head_dim()) +
                    " wide, but rotary positions need an even width; choose d_model as an even multiple of n_head");
    }
    // Attention's logits reach sqrt(head_dim), of which e is taken without subtracting the largest.
    if (config.head_dim() > widest_head) {
        return fail("the model's heads are " + std::to_string(config.head_dim()) + " wide, but at most " +
                    std::to_string(widest_head) + " can attend; choose more heads");
    }
    if (!(config.norm_eps > 0.0f && config.norm_eps <= 0.1f)) {
        return fail("the model's norm_eps must be a positive number of at most 0.1, such as 1.1920929e-07");
    }
    if ((config.trunk == Trunk::article && !config.soft_tokens) ||
        (config.self_conditioning && (!config.soft_tokens || config.trunk == Trunk::article)) ||
        (config.soft_tokens && config.causal)) {
        return fail("the model's trunk does not take this kind of input");
    }
    if (config.trunk == Trunk::article && config.conv_radius > 0) {
        return fail("the article's trunk has no convolution, but the model's conv_radius is " +
                    std::to_string(config.conv_radius));
    }
    // A pass of seq_len positions and the rotation table, in floats: what a file asks for besides its own size.
    const std::int64_t widest = std::max({config.input_width(), config.d_ff, 3 * config.d_model});
    if (config.seq_len * widest > most_floats || std::int64_t{config.max_length()} * config.head_dim() > most_floats) {
        return fail("the model's seq_len of " + std::to_string(config.seq_len) + " is too long for its width of " +
                    std::to_string(widest) + "; choose a shorter one");
    }
    // Every size above is bounded, so this walk cannot overflow.
    constexpr std::uint64_t most_parameters = 1u << 28;
    std::uint64_t parameters = 0;
    for_each_tensor(config, [&](const TensorSpec& tensor) {
        parameters += static_cast<std::uint64_t>(tensor.rows) * static_cast<std::uint64_t>(tensor.cols);
    });
    if (parameters > most_parameters) {
        return fail("the model would have " + std::to_string(parameters) + " parameters, more than the " +
                    std::to_string(most_parameters) + " that Folio takes on; choose smaller sizes");
    }
    return {};
}

}  // namespace folio
