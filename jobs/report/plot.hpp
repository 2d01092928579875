#pragma once

#include "axis.hpp"
#include "markup.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace fedmpi {

// The side of the square that an SVG's coordinates fill. It is stretched to the width of the page; texts are not.
inline constexpr double plot_side = 1000.0;

// As many lines as can be told apart: the colours times the dashes of style.cpp.
inline constexpr std::size_t num_colours = 7, num_line_styles = 4 * num_colours;
std::string line_class(std::size_t style);  // of a stroke
std::string fill_class(std::size_t colour);

// Shares from 0 to 1, in so many steps.
inline constexpr std::size_t num_shades = 8;
std::size_t shade_of(double share);
std::string shade_class(double share);  // none for 0

struct LegendEntry {
  std::string label;
  std::string value;  // beside it, may be empty
  std::string css_class;
};

// A chart's title, a sentence about it and its legend; `body` draws what is below them.
struct Figure {
  std::string title, about;
  std::vector<LegendEntry> legend;
  bool is_wide = false;  // as wide as the page
};
void write_figure(Markup& page, const Figure& figure, const std::function<void()>& body);

struct Tick {
  double position;  // 0..1
  std::string label;
};
std::vector<Tick> ticks_of(const Axis& axis);

// A plane with labelled axes; `draw` fills the SVG. `summary` says in words what is to be seen.
struct Plane {
  std::string summary;
  std::string x_name, y_name;
  std::vector<Tick> x_ticks, y_ticks;
  std::size_t label_width = 1;  // at least so many characters for y_ticks: planes above each other line up
  bool has_grid = true;
  std::string css_class = "plane";
};
void write_plane(Markup& page, const Plane& plane, const std::function<void()>& draw);

std::string coordinate(double value);  // at most one decimal

}  // namespace fedmpi
