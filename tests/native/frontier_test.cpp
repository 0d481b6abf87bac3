#include "native/report/frontier.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "native/report/svg.h"

using namespace folio;

namespace {

struct Element {
    std::string name, text;
    std::map<std::string, std::string> attributes;
    int parent = -1;
};

/// The elements of an XML text in the order in which they begin; throws a sentence where it is not well-formed.
std::vector<Element> parse_xml(const std::string& xml) {
    std::vector<Element> elements;
    int open = -1;
    const auto demand = [](bool holds, const char* what) {
        if (!holds) throw std::runtime_error(what);
    };
    const auto legal = [&](const std::string& text) {
        demand(text.find_first_of("<>") == text.npos, "a bracket in a text");
        for (auto at = text.find('&'); at != text.npos; at = text.find('&', at + 1)) {
            const auto end = text.find(';', at);
            demand(text.substr(at, 2) == "&#" && end != text.npos && end - at < 8, "an ampersand alone");
        }
    };
    for (std::size_t at = 0; at < xml.size();) {
        const auto tag = std::min(xml.find('<', at), xml.size());
        const std::string text = xml.substr(at, tag - at);
        legal(text);
        demand(open >= 0 || text.find_first_not_of("\n ") == text.npos, "a text outside of the root");
        if (open >= 0) elements[open].text += text;
        if (tag == xml.size()) break;
        const auto end = xml.find('>', tag);
        demand(end != xml.npos, "a tag without an end");
        at = end + 1;
        std::string inside = xml.substr(tag + 1, end - tag - 1);
        if (inside.starts_with("/")) {
            demand(open >= 0 && elements[open].name == inside.substr(1), "an end without its beginning");
            open = elements[open].parent;
            continue;
        }
        const bool closed = inside.ends_with("/");
        if (closed) inside.pop_back();
        demand(open >= 0 || elements.empty(), "a second root");
        const auto space = std::min(inside.find(' '), inside.size());
        Element element{inside.substr(0, space), "", {}, open};
        for (std::size_t rest = space; rest < inside.size();) {
            const auto equals = inside.find("=\"", rest);
            const auto quote = equals == inside.npos ? equals : inside.find('"', equals + 2);
            demand(quote != inside.npos, "an attribute without a value");
            const std::string key = inside.substr(rest + 1, equals - rest - 1),
                              value = inside.substr(equals + 2, quote - equals - 2);
            legal(value);
            demand(inside[rest] == ' ' && !key.empty() && element.attributes.emplace(key, value).second,
                   "an attribute twice");
            rest = quote + 1;
        }
        elements.push_back(element);
        if (!closed) open = static_cast<int>(elements.size()) - 1;
    }
    demand(open < 0 && !elements.empty(), "no end");
    return elements;
}

TextStatistics statistics(double entropy, double judge) {
    TextStatistics result;
    result.count = 20;
    result.entropy = {entropy, 0.01};
    result.judge = {judge, 0.02};
    return result;
}

std::vector<SampleResults> points() {
    std::vector<SampleResults> result;
    for (const SamplerKind sampler : {SamplerKind::confidence, SamplerKind::margin}) {
        const double worse = sampler == SamplerKind::margin ? 0.5 : 0;
        for (const int steps : {8, 64}) {
            for (const double temperature : {0.7, 1.0}) {
                SampleResults& point = result.emplace_back();
                point.options.sampler = sampler;
                point.options.steps = steps;
                point.options.temperature = temperature;
                point.statistics = statistics(2.3 + temperature, 1 + temperature - steps / 200.0 + worse);
            }
        }
    }
    return result;
}

}  // namespace

TEST_CASE("the frontier is well-formed, escaped, and without a script") {
    const std::string svg = frontier_svg(points(), statistics(3.2, 1.68), "20 samples & <more>");
    const auto elements = parse_xml(svg);
    CHECK(elements[0].name == "svg");
    int dots = 0, curves = 0;
    for (const Element& element : elements) {
        CHECK(element.name != "script");
        const auto kind = element.attributes.find("class");
        if (kind == element.attributes.end()) continue;
        dots += kind->second.starts_with("dot") && element.attributes.contains("cx");
        curves += kind->second.starts_with("curve");
    }
    CHECK(dots == 8 + 2);  // and the legend's
    CHECK(curves == 4 + 2);
    CHECK(svg.find(">margin, 8 passes, temperature 0.7: entropy 3.000, judge +0.480<") != svg.npos);
    CHECK(svg_escaped("bold & <fast>") == "bold &#38; &#60;fast&#62;");
    CHECK(svg.find("20 samples &#38; &#60;more&#62;") != svg.npos);
    CHECK(svg.find("prefers-color-scheme: dark") != svg.npos);
    CHECK(svg == frontier_svg(points(), statistics(3.2, 1.68), "20 samples & <more>"));
}

TEST_CASE("a point lies where the axes say") {
    const auto elements = parse_xml(frontier_svg(points(), statistics(3.2, 1.68), ""));
    // Ticks of the first panel, left and below: what a value is in pixels.
    std::map<double, double> across, up;
    std::map<std::string, std::pair<double, double>> dots;
    const auto number = [](const Element& element, const char* key) {
        return std::strtod(element.attributes.at(key).c_str(), nullptr);
    };
    double real_x = 0, real_y = 0;
    int panels = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const Element& element = elements[i];
        const auto found = element.attributes.find("class");
        const std::string kind = found == element.attributes.end() ? "" : found->second;
        panels += kind == "sampler";
        if (panels == 1 && kind == "soft x") across[std::stod(element.text)] = number(element, "x");
        if (panels == 1 && kind == "soft y") {
            const bool below = element.text.starts_with("\u2212");
            up[below ? -std::stod(element.text.substr(3)) : std::stod(element.text)] = number(element, "y") - 4;
        }
        if (element.name == "title" && elements[element.parent].name == "circle") {
            dots[element.text] = {number(elements[element.parent], "cx"), number(elements[element.parent], "cy")};
        }
        if (panels == 1 && kind == "real") {
            double skipped;
            REQUIRE(std::sscanf(element.attributes.at("d").c_str(), "M%lf %lfh%lfM%lf", &skipped, &real_y, &skipped,
                                &real_x) == 4);
        }
    }
    REQUIRE(across.size() >= 2);
    REQUIRE(up.size() >= 2);
    const auto place = [](const std::map<double, double>& axis, double value) {
        const auto [low, first] = *axis.begin();
        const auto [high, last] = *axis.rbegin();
        return first + (value - low) / (high - low) * (last - first);
    };
    const auto [x, y] = dots.at("confidence, 64 passes, temperature 1: entropy 3.300, judge 0");
    CHECK(x == Approx(place(across, 3.3)).margin(0.11));
    CHECK(y == Approx(place(up, 1 + 1 - 0.32 - 1.68)).margin(0.11));
    const auto [x2, y2] = dots.at("confidence, 8 passes, temperature 0.7: entropy 3.000, judge \u22120.020");
    CHECK(x2 == Approx(place(across, 3.0)).margin(0.11));
    CHECK(y2 == Approx(place(up, 1.66 - 1.68)).margin(0.11));
    CHECK(y2 > y);  // what the judge likes better lies lower
    CHECK(real_x == Approx(place(across, 3.2)).margin(0.11));
    CHECK(real_y == Approx(place(up, 0)).margin(0.11));
}

TEST_CASE("a frontier of no points has its axes and real text") {
    const auto elements = parse_xml(frontier_svg({}, statistics(3.2, 1.68), ""));
    int real = 0;
    for (const Element& element : elements) {
        const auto kind = element.attributes.find("class");
        real += kind != element.attributes.end() && kind->second == "real";
    }
    CHECK(real == 2);  // in the legend and in the panel
}
