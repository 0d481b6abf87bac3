#include "native/report/bench_chart.h"

#include <fmt/format.h>

#include <algorithm>

#include "native/report/svg.h"

namespace folio {
namespace {

using Row = BenchComparison::Row;

constexpr int width = 760, margin = 24, label_width = 250, bar_left = margin + label_width, bar_width = 300, pitch = 20;

/// The picture as it is drawn from top to bottom.
class Chart {
public:
    explicit Chart(const BenchComparison& comparison) : comparison_(comparison) {}

    std::string draw();

private:
    void text(int x, const char* kind, const std::string& words) { body_ += svg_text(x, y_, kind, words); }
    void list_reports();
    /// Rows under a title of their own for each task, which has a scale of its own: a training step would leave nothing
    /// of the others.
    void draw_rows(const std::vector<Row>& rows, const char* title);
    void begin_task(const std::string& task, const char* title);
    void draw_row(const Row& row, double longest);
    void draw_bar(const Timing& timing, std::size_t report, double longest);
    void label(const Work& work);

    const BenchComparison& comparison_;
    std::string body_;
    int y_ = margin + 22;
};

void Chart::list_reports() {
    for (std::size_t i = 0; i < comparison_.size(); ++i) {
        y_ += pitch;
        text(margin, "name", fmt::format("{}  {}", i + 1, shortened(comparison_.name(i), 96)));
        if (const std::string about = comparison_.about(i); !about.empty()) {
            y_ += pitch - 3;
            text(margin + 18, "soft", shortened(about, 110));
        }
    }
}

double longest_of(const std::string& task, const std::vector<Row>& rows) {
    double longest = 0;
    for (const Row& row : rows) {
        if (row.work.task != task) continue;
        for (const auto& timing : row.timings) longest = std::max(longest, timing ? timing->upper_quartile_ms : 0);
    }
    return longest;
}

void Chart::draw_rows(const std::vector<Row>& rows, const char* title) {
    std::string task;
    double longest = 0;
    for (const Row& row : rows) {
        if (row.work.task != task) {
            task = row.work.task;
            longest = longest_of(task, rows);
            begin_task(task, title);
        }
        draw_row(row, longest);
    }
}

void Chart::begin_task(const std::string& task, const char* title) {
    y_ += pitch / 2;
    body_ += fmt::format("<path class=\"rule\" d=\"M{} {}h{}\"/>\n", margin, y_, width - 2 * margin);
    y_ += pitch + 6;
    text(margin, "task", shortened(task, 60) + title);
}

void Chart::draw_row(const Row& row, double longest) {
    y_ += pitch + 4;
    bool first = true;
    for (std::size_t i = 0; i < comparison_.size(); ++i) {
        const auto& timing = row.timings[i];
        if (!timing) continue;
        if (!first) y_ += pitch;
        // Once where all bars are of the same set.
        if (first || timing->work != row.work) label(timing->work);
        first = false;
        draw_bar(*timing, i, longest);
        if (const auto ratio = comparison_.ratio(row, i))
            text(bar_left + bar_width + 92, "number", fmt::format("{:.3g}x", *ratio));
    }
}

void Chart::draw_bar(const Timing& timing, std::size_t report, double longest) {
    const auto x = [&](double ms) { return bar_left + bar_width * ms / longest; };
    text(bar_left - 22, "number", std::to_string(report + 1));
    body_ += fmt::format("<rect class=\"bar b{}\" x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"12\"/>\n", report % 4,
                         bar_left, y_ - 11, std::max(1.0, x(timing.median_ms) - bar_left));
    body_ += fmt::format("<path class=\"whisker\" d=\"M{0:.1f} {2}H{1:.1f}M{0:.1f} {3}v8M{1:.1f} {3}v8\"/>\n",
                         x(timing.lower_quartile_ms), x(timing.upper_quartile_ms), y_ - 5, y_ - 9);
    text(bar_left + bar_width + 12, "number", milliseconds(timing.median_ms));
}

/// The work without its task, which the title has.
void Chart::label(const Work& work) {
    const std::string words = describe(work);
    const std::size_t behind_task = work.task.size() + 2;
    text(margin, "soft", shortened(words.size() > behind_task ? words.substr(behind_task) : words, 40));
}

std::string Chart::draw() {
    text(margin, "title", "Milliseconds: median, whiskers at the quartiles");
    list_reports();
    draw_rows(comparison_.rows(), "");
    draw_rows(comparison_.fastest(), ": the fastest set of each report");
    if (const std::string warning = comparison_.warning(); !warning.empty()) {
        y_ += pitch + 10;
        text(margin, "soft", warning);
    }
    return svg_document(
        width, y_ + margin, "Reports of folio bench side by side",
        ".task { font-style: italic; font-size: 17px; }\n"
        ".bar { fill: var(--ink); } .b0 { opacity: .5; } .b1 { opacity: .25; } .b2 { opacity: .38; } .b3 { opacity: "
        ".15; }\n"
        ".whisker { fill: none; stroke: var(--ink); stroke-width: 1.5; } .rule { stroke: var(--line); }\n",
        body_);
}

}  // namespace

std::string bench_chart(const BenchComparison& comparison) { return Chart(comparison).draw(); }

}  // namespace folio
