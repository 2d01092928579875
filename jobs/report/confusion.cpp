#include "numbers.hpp"
#include "plot.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <fmt/format.h>

namespace fedmpi {

void write_confusion(Markup& page, const Run& run) {
  constexpr std::size_t max_labels = 20;
  const RoundMetrics* newest = run.rounds.empty() ? nullptr : &run.rounds.back();
  if (newest == nullptr || newest->central_confusion.empty()) return;
  std::size_t num_predicted = 0;
  for (const auto& row : newest->central_confusion) num_predicted = std::max(num_predicted, row.size());
  if (newest->central_confusion.size() > max_labels || num_predicted > max_labels) return;
  const auto card = page.element("div", {{"class", "card"}});
  page.element("h3", {}, "What was taken for what");
  page.element(
      "p", {},
      fmt::format("Test examples after round {}: rows are true labels, columns the global model's.", newest->round));
  std::vector<Column> columns = {{"label"}};
  for (std::size_t i = 0; i < num_predicted; ++i) columns.push_back({fmt::format("{}", i)});
  std::vector<std::vector<Cell>> rows;
  for (std::size_t i = 0; i < newest->central_confusion.size(); ++i) {
    const auto& counts = newest->central_confusion[i];
    double all = 0.0;
    for (const std::int64_t count : counts) all += static_cast<double>(count);
    rows.push_back({{fmt::format("{}", i)}});
    for (const std::int64_t count : counts)
      rows.back().push_back({grouped(count), shade_class(all > 0.0 ? static_cast<double>(count) / all : 0.0)});
  }
  write_table(page, columns, rows, "matrix");
}

}  // namespace fedmpi
