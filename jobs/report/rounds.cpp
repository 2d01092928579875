#include "numbers.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_rows = 100;

template <typename T>
std::string or_dash(const std::optional<T>& value, std::string (*text)(T)) {
  return value ? text(*value) : "–";
}

std::vector<Cell> row_of(const RoundMetrics& metrics, const std::vector<const Measure*>& shown) {
  std::vector<Cell> row = {{fmt::format("{}", metrics.round)},
                           {or_dash<std::int64_t>(metrics.clients, grouped)},
                           {or_dash<std::int64_t>(metrics.failures, grouped)}};
  for (const Measure* measure : shown) row.push_back({or_dash<double>(metrics.*measure->value, measured)});
  row.push_back({seconds_text(metrics.seconds.total)});
  row.push_back({or_dash<double>(metrics.tokens_per_second, whole)});
  row.push_back({or_dash<std::int64_t>(metrics.update_bytes, bytes_text)});
  row.push_back({bytes_text(metrics.bytes_sent)});
  row.push_back({bytes_text(metrics.peak_rss_bytes)});
  row.push_back({metrics.digest.substr(0, 12)});
  return row;
}

}  // namespace

void write_rounds(Markup& page, const Run& run) {
  const auto card = page.element("div", {{"class", "card wide"}});
  page.element("h3", {}, "Rounds");
  if (run.rounds.empty()) return page.element("p", {}, "No round has been finished yet.");
  const std::size_t count = run.rounds.size(), num_rows = std::min(count, max_rows);
  if (num_rows < count)
    page.element("p", {},
                 fmt::format("{} of {}; metrics.csv in the run's directory has all.", num_rows,
                             grouped(static_cast<std::int64_t>(count))));
  std::vector<const Measure*> shown;
  for (const Measure& measure : measures)
    if (is_measured(measure, run.rounds)) shown.push_back(&measure);
  std::vector<Column> columns = {{"round"}, {"clients"}, {"failed"}};
  for (const Measure* measure : shown) columns.push_back({fmt::format("{} {}", measure->source, measure->quantity)});
  for (const char* name : {"time", "tokens/s", "updates", "sent", "peak memory"}) columns.push_back({name});
  columns.push_back({"digest", false});
  std::vector<std::vector<Cell>> rows;
  // Evenly spread, with the first and the last.
  for (std::size_t i = 0; i < num_rows; ++i)
    rows.push_back(row_of(run.rounds[num_rows == 1 ? 0 : i * (count - 1) / (num_rows - 1)], shown));
  write_table(page, columns, rows);
}

}  // namespace fedmpi
