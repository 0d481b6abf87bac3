#include "native/report/frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "native/report/svg.h"

namespace folio {
namespace {

constexpr int width = 760, margin = 24, columns = 3, left = 80, top = 116, gap = 14, panel_height = 190,
              title_height = 26, legend = margin + 58;
constexpr double panel_width = (width - left - margin - (columns - 1) * gap) / static_cast<double>(columns);

/// One direction of a panel: values from low to high over so many pixels, a tick at every multiple of `step`.
struct Axis {
    double low, high, step;
    int decimals;

    Axis(double least, double most) {
        const double margin = std::max(0.06 * (most - least), 0.02);
        low = least - margin;
        high = most + margin;
        const double spacing = (high - low) / 4, power = std::pow(10, std::floor(std::log10(spacing)));
        const double digit = spacing / power;
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

/// Different values of a function of the points, in their order.
template <class Of>
auto distinct(std::span<const SampleResults> points, Of of) {
    std::vector<decltype(of(points.front()))> values;
    for (const SampleResults& point : points) {
        if (std::find(values.begin(), values.end(), of(point)) == values.end()) values.push_back(of(point));
    }
    return values;
}

double entropy(const TextStatistics& of) { return of.entropy.nats_per_char; }

std::string_view sampler_of(const SampleResults& point) { return name_of(*point.options.sampler); }

/// The axis of all values and of real text's.
template <class Value>
Axis axis_of(std::span<const SampleResults> points, double real, Value value) {
    double least = real, most = real;
    for (const SampleResults& point : points) {
        least = std::min(least, value(point.statistics));
        most = std::max(most, value(point.statistics));
    }
    return {least, most};
}

class FrontierPlot {
public:
    FrontierPlot(std::span<const SampleResults> points, const TextStatistics& real);

    /// CSS of the curves, by number of passes from faint to full ink.
    std::string style() const;
    std::string legend_line() const;
    std::size_t panel_count() const { return samplers_.size(); }
    /// A panel with the points of a sampler.
    std::string draw_panel(std::size_t index) const;
    std::string axis_titles() const;
    /// Height of all panels with the space above them.
    int floor() const;

private:
    /// Pixels of a panel's left and lower edges, and of values in it.
    struct Panel {
        const FrontierPlot& plot;
        double left, floor;

        double x(double entropy) const { return left + panel_width * plot.across_.share(entropy); }
        double y(double excess) const { return floor - panel_height * plot.up_.share(excess); }
    };

    /// The judge's nats per character above those of real text.
    double excess(const TextStatistics& of) const { return of.judge.nats_per_char - real_.judge.nats_per_char; }
    std::string grid(std::size_t index, const Panel& panel) const;
    std::string curve(std::string_view sampler, int steps, const Panel& panel) const;
    std::string dot(const SampleResults& point, const Panel& panel) const;

    std::span<const SampleResults> points_;
    const TextStatistics& real_;
    std::vector<std::string_view> samplers_;
    std::vector<int> passes_;
    std::vector<double> temperatures_;
    Axis across_, up_;
};

FrontierPlot::FrontierPlot(std::span<const SampleResults> points, const TextStatistics& real)
    : points_(points),
      real_(real),
      samplers_(distinct(points, sampler_of)),
      passes_(distinct(points, [](const auto& point) { return point.options.steps; })),
      temperatures_(distinct(points, [](const auto& point) { return point.options.temperature; })),
      across_(axis_of(points, entropy(real), entropy)),
      up_(axis_of(points, 0, [&](const auto& of) { return excess(of); })) {
    std::sort(passes_.begin(), passes_.end());
    std::sort(temperatures_.begin(), temperatures_.end());
    if (samplers_.empty()) samplers_.emplace_back();  // the axes, and real text
}

std::string FrontierPlot::style() const {
    std::string style =
        ".panel { fill: none; stroke: var(--line); } .grid { fill: none; stroke: var(--line); stroke-width: .5; }\n"
        ".real { fill: none; stroke: var(--red); stroke-width: 1.2; } .realtext { fill: var(--red); }\n"
        ".curve { fill: none; stroke: var(--ink); stroke-width: 1.6; } .dot { fill: var(--ink); }\n"
        ".sampler { font-style: italic; font-size: 17px; } .x { text-anchor: middle; } .y { text-anchor: end; }\n";
    const double last = static_cast<double>(passes_.size()) - 1;
    for (std::size_t i = 0; i < passes_.size(); ++i) {
        const double ink = last == 0 ? 1 : 0.4 + 0.6 * static_cast<double>(i) / last;
        style += fmt::format(".p{} {{ opacity: {:.3g}; }}\n", passes_[i], ink);
    }
    return style;
}

std::string FrontierPlot::legend_line() const {
    std::string body;
    double x = margin;
    for (const int steps : passes_) {
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
    if (temperatures_.size() > 1) {
        body += svg_text(margin, legend + 20, "soft",
                         fmt::format("Along a curve the temperature rises from {} to {}, where the dot is large.",
                                     temperatures_.front(), temperatures_.back()));
    }
    return body;
}

std::string FrontierPlot::draw_panel(std::size_t index) const {
    const auto row = static_cast<double>(index / columns);
    const Panel panel{*this, folio::left + static_cast<double>(index % columns) * (panel_width + gap),
                      top + title_height + panel_height + row * (title_height + panel_height + gap)};
    std::string body = svg_text(panel.left, panel.floor - panel_height - 8, "sampler", samplers_[index]);
    body += grid(index, panel);
    body += fmt::format("<rect class=\"panel\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\"/>\n",
                        panel.left, panel.floor - panel_height, panel_width, panel_height);
    body += fmt::format("<path class=\"real\" d=\"M{:.1f} {:.1f}h{:.1f}M{:.1f} {:.1f}v{}\"/>\n", panel.left, panel.y(0),
                        panel_width, panel.x(entropy(real_)), panel.floor, -panel_height);
    for (const int steps : passes_) body += curve(samplers_[index], steps, panel);
    return body;
}

/// Lines of the grid, with their values where no panel lies to the left or below.
std::string FrontierPlot::grid(std::size_t index, const Panel& panel) const {
    std::string body;
    for (const double tick : across_.ticks()) {
        body +=
            fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}v{}\"/>\n", panel.x(tick), panel.floor, -panel_height);
        if (index + columns >= samplers_.size())
            body += svg_text(panel.x(tick), panel.floor + 18, "soft x", fmt::format("{:.{}f}", tick, across_.decimals));
    }
    for (const double tick : up_.ticks()) {
        body +=
            fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}h{:.1f}\"/>\n", panel.left, panel.y(tick), panel_width);
        if (index % columns == 0)
            body += svg_text(panel.left - 8, panel.y(tick) + 4, "soft y", difference(tick, up_.decimals));
    }
    return body;
}

std::string FrontierPlot::curve(std::string_view sampler, int steps, const Panel& panel) const {
    std::vector<const SampleResults*> curve;
    for (const SampleResults& point : points_) {
        if (sampler_of(point) == sampler && point.options.steps == steps) curve.push_back(&point);
    }
    if (curve.empty()) return "";
    std::sort(curve.begin(), curve.end(),
              [](const auto* a, const auto* b) { return a->options.temperature < b->options.temperature; });
    std::string path, dots;
    for (const SampleResults* point : curve) {
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", panel.x(entropy(point->statistics)),
                            panel.y(excess(point->statistics)));
        dots += dot(*point, panel);
    }
    return fmt::format("<path class=\"curve p{}\" d=\"{}\"/>\n", steps, path) + dots;
}

std::string FrontierPlot::dot(const SampleResults& point, const Panel& panel) const {
    const TextStatistics& of = point.statistics;
    const int steps = point.options.steps;
    const double temperature = point.options.temperature;
    const std::string words = fmt::format("{}, {} passes, temperature {}: entropy {:.3f}, judge {}", sampler_of(point),
                                          steps, temperature, entropy(of), difference(excess(of), 3));
    return fmt::format("<circle class=\"dot p{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}</title></circle>\n",
                       steps, panel.x(entropy(of)), panel.y(excess(of)),
                       temperature == temperatures_.back() ? 3.6 : 2.2, svg_escaped(words));
}

int FrontierPlot::floor() const {
    const auto rows = static_cast<int>((samplers_.size() + columns - 1) / columns);
    return top + rows * (title_height + panel_height) + (rows - 1) * gap;
}

std::string FrontierPlot::axis_titles() const {
    const auto shown = static_cast<double>(std::min<std::size_t>(samplers_.size(), columns));
    return svg_text(left + (shown * (panel_width + gap) - gap) / 2, floor() + 42, "soft x",
                    "entropy of a sample, nats per character") +
           fmt::format("<g transform=\"translate({} {}) rotate(-90)\">\n{}</g>\n", margin + 6,
                       (top + title_height + floor()) / 2,
                       svg_text(0, 0, "soft x", "judge less real text, nats per character"));
}

}  // namespace

std::string frontier_svg(std::span<const SampleResults> points, const TextStatistics& real, std::string_view caption) {
    const FrontierPlot plot(points, real);
    std::string body = svg_text(margin, margin + 16, "title", "Judge NLL against entropy");
    body += svg_text(margin, margin + 38, "soft", caption);
    body += plot.legend_line();
    for (std::size_t i = 0; i < plot.panel_count(); ++i) body += plot.draw_panel(i);
    body += plot.axis_titles();
    return svg_document(width, plot.floor() + 42 + margin, "Samples between the judge and variety", plot.style(), body);
}

}  // namespace folio
