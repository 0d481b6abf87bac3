#include "core/model/position_tables.h"

#include "core/base/elementary.h"

namespace folio {

namespace {

/// Calls f(position, i, sine, cosine) of the angle position / 10000^(2 i / width), i < width / 2.
template <class F>
void for_each_angle(int positions, int width, F&& f) {
    for (int position = 0; position < positions; ++position)
        for (int i = 0; i < width / 2; ++i) {
            const double angle = position * elementary::exp(elementary::log(10000.0) * (-2.0 * i / width));
            double sine, cosine;
            elementary::sin_cos(angle, sine, cosine);
            f(static_cast<std::size_t>(position), i, static_cast<float>(sine), static_cast<float>(cosine));
        }
}

}  // namespace

std::vector<float> rotation_table(int positions, int head_dim, bool rotated) {
    std::vector<float> table(static_cast<std::size_t>(positions) * head_dim);
    for_each_angle(positions, head_dim, [&](std::size_t position, int i, float sine, float cosine) {
        float* row = table.data() + position * head_dim;
        row[i] = rotated ? cosine : 1.f;
        row[head_dim / 2 + i] = rotated ? sine : 0.f;
    });
    return table;
}

std::vector<float> position_table(int positions, int d_model) {
    std::vector<float> table(static_cast<std::size_t>(positions) * d_model);
    for_each_angle(positions, d_model, [&](std::size_t position, int i, float sine, float cosine) {
        table[position * d_model + 2 * i] = sine;
        table[position * d_model + 2 * i + 1] = cosine;
    });
    return table;
}

}  // namespace folio
