#include "record_reader.hpp"

#include "delimited_reader.hpp"
#include "fedmpi/options.hpp"
#include "json_lines_reader.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

void RecordReader::fail_for_column(const std::string& column, std::span<const std::string> present) const {
  std::string all = fmt::format("{:.300}", fmt::format("{}", fmt::join(present, ", ")));
  std::replace_if(
      all.begin(), all.end(), [](unsigned char byte) { return byte < ' '; }, ' ');
  const std::string near = nearest(column, present);
  fail(fmt::format("has no column '{}'; {}it has {}", column,
                   near.empty() ? "" : fmt::format("did you mean '{}'? ", near), all));
}

std::unique_ptr<RecordReader> open_records(const std::filesystem::path& path, const Dialect& dialect,
                                           std::vector<std::string> columns) {
  if (dialect.format == TableFormat::jsonl) return std::make_unique<JsonLinesReader>(path, std::move(columns));
  return std::make_unique<DelimitedReader>(path, dialect, columns);
}

}  // namespace fedmpi
