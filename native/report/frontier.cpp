#include "native/report/frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "native/report/svg.h"

namespace folio {
namespace {

/// One direction of a panel: values from low to high over so many pixels, a tick at every multiple of `step`.
struct Axis {
    double low, high, step;
    int decimals;

    Axis(double least, double most) {
        const double spare = std::max(0.06 * (most - least), 0.02);
        low = least - spare;
        high = most + spare;
        const double wanted = (high - low) / 4, power = std::pow(10, std::floor(std::log10(wanted)));
        const double digit = wanted / power;
        step = power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
        decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
    }

    double share(double value) const { return (value - low) / (high - low); }
    std::vector<double> ticks() const {
        std::vector<double> values;
        // From whole multiples, so that none is -0 or a rounding error away from 0.
        for (auto i = static_cast<int>(std::ceil(low / step)); i * step <= high; ++i) values.push_back(i * step);
        return values;
    }
};

/// A difference, with its sign unless it is none.
std::string difference(double value, int decimals) {
    if (std::abs(value) * std::pow(10, decimals) < 0.5) return "0";
    return fmt::format("{}{:.{}f}", value < 0 ? "\u2212" : "+", std::abs(value), decimals);
}

template <class T, class Of>
std::vector<T> different(std::span<const FrontierPoint> points, Of of) {
    std::vector<T> values;
    for (const FrontierPoint& point : points) {
        if (std::find(values.begin(), values.end(), of(point)) == values.end()) values.push_back(of(point));
    }
    return values;
}

}  // namespace

std::string frontier_svg(std::span<const FrontierPoint> points, const TextStatistics& real, std::string_view caption) {
    constexpr int width = 760, margin = 24, columns = 3, left = 80, top = 116, gap = 14, panel_height = 190,
                  title_height = 26;
    constexpr double panel_width = (width - left - margin - (columns - 1) * gap) / static_cast<double>(columns);

    const auto entropy = [](const TextStatistics& of) { return of.entropy.nats_per_char; };
    const auto excess = [&](const TextStatistics& of) { return of.judge.nats_per_char - real.judge.nats_per_char; };
    auto samplers = different<std::string>(points, [](const auto& point) { return point.sampler; });
    auto passes = different<int>(points, [](const auto& point) { return point.steps; });
    auto temperatures = different<double>(points, [](const auto& point) { return point.temperature; });
    std::sort(passes.begin(), passes.end());
    std::sort(temperatures.begin(), temperatures.end());
    if (samplers.empty()) samplers.emplace_back();  // the axes, and real text

    double least_x = entropy(real), most_x = least_x, least_y = 0, most_y = 0;
    for (const FrontierPoint& point : points) {
        least_x = std::min(least_x, entropy(point.statistics));
        most_x = std::max(most_x, entropy(point.statistics));
        least_y = std::min(least_y, excess(point.statistics));
        most_y = std::max(most_y, excess(point.statistics));
    }
    const Axis across(least_x, most_x), up(least_y, most_y);

    // Curves by number of passes, from faint to full ink.
    std::string style =
        ".panel { fill: none; stroke: var(--line); } .grid { fill: none; stroke: var(--line); stroke-width: .5; }\n"
        ".real { fill: none; stroke: var(--red); stroke-width: 1.2; } .realtext { fill: var(--red); }\n"
        ".curve { fill: none; stroke: var(--ink); stroke-width: 1.6; } .dot { fill: var(--ink); }\n"
        ".sampler { font-style: italic; font-size: 17px; } .x { text-anchor: middle; } .y { text-anchor: end; }\n";
    for (std::size_t i = 0; i < passes.size(); ++i) {
        const double ink =
            passes.size() == 1 ? 1 : 0.4 + 0.6 * static_cast<double>(i) / static_cast<double>(passes.size() - 1);
        style += fmt::format(".p{} {{ opacity: {:.3g}; }}\n", passes[i], ink);
    }

    std::string body = svg_text(margin, margin + 16, "title", "The judge's opinion against variety");
    body += svg_text(margin, margin + 38, "soft", caption);
    double x = margin;
    const double legend = margin + 58;
    for (const int steps : passes) {
        const std::string words = fmt::format("{} passes", steps);
        body += fmt::format(
            "<path class=\"curve p{0}\" d=\"M{1:.1f} {2}h22\"/><circle class=\"dot p{0}\" cx=\"{3:.1f}\" cy=\"{2}\" "
            "r=\"3\"/>\n",
            steps, x, legend - 4, x + 11);
        body += svg_text(x + 28, legend, "soft", words);
        x += 42 + 7 * static_cast<double>(words.size());
    }
    body += fmt::format("<path class=\"real\" d=\"M{:.1f} {}h16m-8 -8v16\"/>\n", x, legend - 4);
    body += svg_text(x + 22, legend, "soft", "real text");
    if (temperatures.size() > 1) {
        body += svg_text(margin, legend + 20, "soft",
                         fmt::format("Along a curve the temperature rises from {} to {}, where the dot is large.",
                                     temperatures.front(), temperatures.back()));
    }

    for (std::size_t panel = 0; panel < samplers.size(); ++panel) {
        const double begin = left + static_cast<double>(panel % columns) * (panel_width + gap);
        const double floor = top + title_height + panel_height +
                             static_cast<double>(panel / columns) * (title_height + panel_height + gap);
        const auto at_x = [&](double value) { return begin + panel_width * across.share(value); };
        const auto at_y = [&](double value) { return floor - panel_height * up.share(value); };
        body += svg_text(begin, floor - panel_height - 8, "sampler", samplers[panel]);
        for (const double tick : across.ticks()) {
            body += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}v{}\"/>\n", at_x(tick), floor, -panel_height);
            if (panel + columns >= samplers.size())
                body += svg_text(at_x(tick), floor + 18, "soft x", fmt::format("{:.{}f}", tick, across.decimals));
        }
        for (const double tick : up.ticks()) {
            body += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}h{:.1f}\"/>\n", begin, at_y(tick), panel_width);
            if (panel % columns == 0)
                body += svg_text(begin - 8, at_y(tick) + 4, "soft y", difference(tick, up.decimals));
        }
        body += fmt::format("<rect class=\"panel\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\"/>\n", begin,
                            floor - panel_height, panel_width, panel_height);

        body += fmt::format("<path class=\"real\" d=\"M{:.1f} {:.1f}h{:.1f}M{:.1f} {:.1f}v{}\"/>\n", begin, at_y(0),
                            panel_width, at_x(entropy(real)), floor, -panel_height);

        for (const int steps : passes) {
            std::vector<const FrontierPoint*> curve;
            for (const FrontierPoint& point : points) {
                if (point.sampler == samplers[panel] && point.steps == steps) curve.push_back(&point);
            }
            std::sort(curve.begin(), curve.end(),
                      [](const auto* a, const auto* b) { return a->temperature < b->temperature; });
            std::string path, dots;
            for (const FrontierPoint* point : curve) {
                const TextStatistics& of = point->statistics;
                path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x(entropy(of)), at_y(excess(of)));
                const std::string words =
                    fmt::format("{}, {} passes, temperature {}: entropy {:.3f}, judge {}", point->sampler, steps,
                                point->temperature, entropy(of), difference(excess(of), 3));
                dots += fmt::format(
                    "<circle class=\"dot p{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}</title></circle>\n",
                    steps, at_x(entropy(of)), at_y(excess(of)), point->temperature == temperatures.back() ? 3.6 : 2.2,
                    svg_escaped(words));
            }
            if (!curve.empty()) body += fmt::format("<path class=\"curve p{}\" d=\"{}\"/>\n", steps, path) + dots;
        }
    }
    const auto rows = static_cast<int>((samplers.size() + columns - 1) / columns);
    const int floor = top + rows * (title_height + panel_height) + (rows - 1) * gap;
    const auto shown = static_cast<double>(std::min<std::size_t>(samplers.size(), columns));
    body += svg_text(left + (shown * (panel_width + gap) - gap) / 2, floor + 42, "soft x",
                     "entropy of a sample, nats per character");
    body += fmt::format("<g transform=\"translate({} {}) rotate(-90)\">\n{}</g>\n", margin + 6,
                        (top + title_height + floor) / 2,
                        svg_text(0, 0, "soft x", "judge less real text, nats per character"));
    return svg_document(width, floor + 42 + margin, "Samples between the judge and variety", style, body);
}

}  // namespace folio
