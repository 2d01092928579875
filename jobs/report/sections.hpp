#pragma once

#include "comparison.hpp"
#include "markup.hpp"
#include "run.hpp"

#include <span>
#include <string>

namespace fedmpi {

// The parts of a page, each written where it is called.

// Of one run.
void write_overview(Markup& page, const Run& run);  // the newest numbers
void write_curves(Markup& page, const Run& run);    // and the confusion matrix
void write_times(Markup& page, const Run& run);
void write_clients(Markup& page, const Run& run);
void write_confusion(Markup& page, const Run& run);  // where there is one that fits
void write_failures(Markup& page, const Run& run);
void write_rounds(Markup& page, const Run& run);
void write_job(Markup& page, const Run& run);

// Of several.
void write_group_table(Markup& page, std::span<const Run> runs, const Comparison& comparison);
void write_run_table(Markup& page, std::span<const Run> runs, const Comparison& comparison);
void write_curves(Markup& page, std::span<const Run> runs, const Comparison& comparison);
void write_times(Markup& page, std::span<const Run> runs, const Comparison& comparison);

std::string progress_text(const Run& run);  // "3 of 3 rounds"

}  // namespace fedmpi
