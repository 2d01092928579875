#pragma once

#include "comparison.hpp"
#include "run.hpp"

#include <span>
#include <string>
#include <string_view>

namespace fedmpi {

// How every report begins.
inline constexpr std::string_view report_start = "<!DOCTYPE html>\n<!-- fedmpi report -->\n";

// One self-contained page: no script, nothing from elsewhere. UserError when there are more jobs than lines of a chart
// that can be told apart.
std::string report_page(std::span<const Run> runs, const Comparison& comparison);

// The facts of the page for programs, as JSON.
std::string report_json(std::span<const Run> runs, const Comparison& comparison);

}  // namespace fedmpi
