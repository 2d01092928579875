#include "numbers.hpp"
#include "sections.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace fedmpi {

namespace {

void write_number(Markup& page, const std::string& name, const std::string& value, const std::string& note) {
  const auto card = page.element("div", {{"class", "card number"}});
  page.element("dt", {}, name);
  const auto description = page.element("dd");
  page.element("b", {}, value);
  page.element("span", {}, note);
}

// The newest value, and the first one beside it.
void write_measure(Markup& page, const Run& run, const Measure& measure) {
  const RoundMetrics *first = nullptr, *last = nullptr;
  for (const RoundMetrics& metrics : run.rounds) {
    if (!(metrics.*measure.value)) continue;
    if (first == nullptr) first = &metrics;
    last = &metrics;
  }
  if (last == nullptr) return;
  std::string note;
  if (last != &run.rounds.back()) note = fmt::format("in round {}", grouped(last->round));
  if (first != last)
    note += fmt::format("{}{} in round {}", note.empty() ? "" : ", ", measured(*(first->*measure.value)), first->round);
  write_number(page, fmt::format("{} {}", measure.source, measure.quantity), measured(*(last->*measure.value)), note);
}

}  // namespace

std::string progress_text(const Run& run) {
  if (run.rounds.empty()) return fmt::format("no round of {} yet", run.num_rounds);
  return fmt::format("{} of {} rounds", grouped(run.rounds.back().round), grouped(run.num_rounds));
}

void write_overview(Markup& page, const Run& run) {
  if (run.rounds.empty()) return;
  const auto list = page.element("dl", {{"class", "numbers"}});
  for (const Measure& measure : measures)
    if (std::string_view(measure.quantity) != "F1") write_measure(page, run, measure);
  double seconds = 0.0, failures = 0.0, tokens_per_second = 0.0;
  std::int64_t bytes = 0, memory = 0, num_fits = 0;
  for (const RoundMetrics& metrics : run.rounds) {
    seconds += metrics.seconds.total;
    bytes += metrics.bytes_sent;
    memory = std::max(memory, metrics.peak_rss_bytes);
    failures += static_cast<double>(metrics.failures.value_or(0));
    tokens_per_second += metrics.tokens_per_second.value_or(0.0);
    num_fits += metrics.tokens_per_second.has_value();
  }
  const auto count = static_cast<double>(run.rounds.size());
  write_number(page, "time", seconds_text(seconds), seconds_text(seconds / count) + " a round");
  if (num_fits > 0)
    write_number(page, "tokens a second", whole(tokens_per_second / static_cast<double>(num_fits)),
                 "mean, while fitting");
  write_number(page, "sent", bytes_text(bytes), bytes_text(bytes / std::ssize(run.rounds)) + " a round, by all ranks");
  write_number(page, "peak memory", bytes_text(memory), "of the largest rank");
  write_number(page, "failures", whole(failures), failures == 0.0 ? "no client failed" : "fits of clients");
}

}  // namespace fedmpi
