#include "numbers.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <map>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_rows = 100, max_ranges = 12, max_reason = 400;

// "1, 4–9 and 120 more rounds"
std::string ranges_text(const std::vector<int>& rounds) {
  std::string text;
  std::size_t count = 0;
  for (std::size_t i = 0; i < rounds.size();) {
    if (count++ == max_ranges)
      return fmt::format("{} and {} more rounds", text, grouped(std::ssize(rounds) - static_cast<std::int64_t>(i)));
    std::size_t end = i + 1;
    while (end < rounds.size() && rounds[end] == rounds[end - 1] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", rounds[i]);
    if (end - i > 1) text += fmt::format("{}{}", end - i == 2 ? ", " : "–", rounds[end - 1]);
    i = end;
  }
  return text;
}

}  // namespace

void write_failures(Markup& page, const Run& run) {
  std::map<std::pair<std::int64_t, std::string>, std::vector<int>> rounds_of;
  std::int64_t count = 0;
  for (const RoundMetrics& metrics : run.rounds) {
    count += std::max<std::int64_t>(metrics.failures.value_or(0), 0);
    for (const ClientFailure& failure : metrics.failed)
      rounds_of[{failure.client, failure.message.substr(0, max_reason)}].push_back(metrics.round);
  }
  const auto card = page.element("div", {{"class", "card wide"}});
  page.element("h3", {}, "Failures");
  if (rounds_of.empty() && count == 0) return page.element("p", {}, "No client failed in any round.");
  page.element("p", {}, fmt::format("{} fits failed.", grouped(count)));
  std::vector<std::vector<Cell>> rows;
  for (const auto& [who, rounds] : rounds_of) {
    if (rows.size() == max_rows) break;
    rows.push_back(
        {{fmt::format("{}", who.first)}, {grouped(std::ssize(rounds))}, {ranges_text(rounds)}, {who.second}});
  }
  write_table(page, {{"client"}, {"times"}, {"in rounds", false}, {"why", false}}, rows);
  if (rows.size() < rounds_of.size())
    page.element("p", {},
                 fmt::format("and {} more; metrics.jsonl in the run's directory has all.",
                             grouped(static_cast<std::int64_t>(rounds_of.size() - rows.size()))));
}

}  // namespace fedmpi
