#include "plot.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::string percent(double share) {
  return fmt::format("{:.4g}%", 100 * share);
}

void write_ticks(Markup& page, const char* css_class, const char* side, const std::vector<Tick>& ticks) {
  const auto list = page.element("div", {{"class", css_class}, {"aria-hidden", "true"}});
  for (const Tick& tick : ticks)
    page.element("span", {{"style", fmt::format("{}:{}", side, percent(tick.position))}}, tick.label);
}

void write_grid(Markup& page, const std::vector<Tick>& ticks) {
  std::string path;
  for (const Tick& tick : ticks)
    path += fmt::format("M0 {}H{}", coordinate(plot_side * (1 - tick.position)), coordinate(plot_side));
  if (!path.empty()) page.empty_element("path", {{"class", "grid-lines"}, {"d", path}});
}

}  // namespace

std::string line_class(std::size_t style) {
  return fmt::format("line c{} dash{}", style % num_colours, style / num_colours);
}

std::string fill_class(std::size_t colour) {
  return fmt::format("fill c{}", colour % num_colours);
}

std::size_t shade_of(double share) {
  return static_cast<std::size_t>(std::clamp(share * num_shades, 0.0, num_shades - 1.0));
}

std::string shade_class(double share) {
  return share > 0.0 ? fmt::format("shade{}", shade_of(share)) : "";
}

std::string coordinate(double value) {
  const std::string text = fmt::format("{:.1f}", value);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

std::vector<Tick> ticks_of(const Axis& axis) {
  std::vector<Tick> ticks;
  for (const double tick : axis.ticks) ticks.push_back({axis.position(tick), axis.label(tick)});
  return ticks;
}

void write_figure(Markup& page, const Figure& figure, const std::function<void()>& body) {
  const auto element = page.element("figure", {{"class", figure.is_wide ? "card wide" : "card"}});
  {
    const auto caption = page.element("figcaption");
    page.element("h3", {}, figure.title);
    if (!figure.about.empty()) page.element("p", {}, figure.about);
  }
  if (!figure.legend.empty()) {
    const auto list = page.element("ul", {{"class", "legend"}});
    for (const LegendEntry& entry : figure.legend) {
      const auto item = page.element("li");
      {
        const bool is_line = entry.css_class.starts_with("line");
        const auto key = page.element("svg", {{"class", is_line ? "line-key" : "fill-key"},
                                              {"viewBox", is_line ? "0 0 22 10" : "0 0 10 10"},
                                              {"aria-hidden", "true"}});
        page.empty_element("path", {{"class", entry.css_class}, {"d", is_line ? "M1 5H21" : "M0 0H10V10H0Z"}});
      }
      page.element("span", {}, entry.label);
      if (!entry.value.empty()) page.element("b", {}, entry.value);
    }
  }
  body();
}

void write_plane(Markup& page, const Plane& plane, const std::function<void()>& draw) {
  std::size_t width = plane.label_width;
  for (const Tick& tick : plane.y_ticks) width = std::max(width, tick.label.size());
  const auto element = page.element("div", {{"class", plane.css_class}, {"style", fmt::format("--w:{}ch", width)}});
  page.element("div", {{"class", "y-name"}}, plane.y_name);
  write_ticks(page, "y-ticks", "bottom", plane.y_ticks);
  {
    const auto svg = page.element("svg", {{"viewBox", "0 0 1000 1000"},
                                          {"preserveAspectRatio", "none"},
                                          {"role", "img"},
                                          {"aria-label", plane.summary}});
    if (plane.has_grid) write_grid(page, plane.y_ticks);
    draw();
  }
  write_ticks(page, "x-ticks", "left", plane.x_ticks);
  page.element("div", {{"class", "x-name"}}, plane.x_name);
}

}  // namespace fedmpi
