#include "fedmpi/metrics.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t num_columns = 10;
using Row = std::array<std::string, num_columns>;

template <typename T>
std::string cell(const std::optional<T>& value, fmt::format_string<const T&> format) {
  return value ? fmt::format(format, *value) : "-";
}

bool is_regression(const RoundMetrics& m) {
  return m.evaluate_mean_absolute_error || m.central_mean_absolute_error;
}

Row row_of(const RoundMetrics& m) {
  const bool regression = is_regression(m);
  return {fmt::format("{}", m.round),
          cell(m.clients, "{}"),
          cell(m.fit_loss, "{:.4f}"),
          cell(m.evaluate_loss, "{:.4f}"),
          cell(regression ? m.evaluate_mean_absolute_error : m.evaluate_accuracy, "{:.4f}"),
          cell(m.central_loss, "{:.4f}"),
          cell(regression ? m.central_mean_absolute_error : m.central_accuracy, "{:.4f}"),
          fmt::format("{:.1f}", m.seconds.total),
          cell(m.tokens_per_second, "{:.0f}"),
          m.digest.substr(0, 12)};
}

}  // namespace

std::string rounds_table(std::span<const RoundMetrics> rounds) {
  const std::string good = std::any_of(rounds.begin(), rounds.end(), is_regression) ? "abs. error" : "accuracy";
  std::vector<Row> rows = {{"", "", "fit", "evaluate", "evaluate", "central", "central", "", "", ""},
                           {"round", "clients", "loss", "loss", good, "loss", good, "seconds", "tokens/s", "digest"}};
  for (const RoundMetrics& metrics : rounds) rows.push_back(row_of(metrics));
  std::array<std::size_t, num_columns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < num_columns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < num_columns; ++i) line += fmt::format("{:>{}}  ", row[i], widths[i]);
    table += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return table;
}

}  // namespace fedmpi
