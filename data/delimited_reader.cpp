#include "delimited_reader.hpp"

#include <algorithm>
#include <charconv>
#include <span>

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::size_t max_fields = 1 << 16;

}  // namespace

DelimitedReader::DelimitedReader(const std::filesystem::path& path, const Dialect& dialect,
                                 const std::vector<std::string>& columns)
    : RecordReader{path}, separator_{dialect.format == TableFormat::tsv ? '\t' : ','}, quotes_{dialect.quotes} {
  if (!read_row()) fail("is empty");
  width_ = num_fields_;
  pending_ = !dialect.header;
  if (dialect.header)
    find_by_name(columns);
  else
    find_by_number(columns);
}

bool DelimitedReader::next(std::vector<std::string>& values) {
  if (!pending_ && !read_row()) return false;
  pending_ = false;
  if (num_fields_ != width_)
    fail(fmt::format("has {} field{} where the first row has {}: put a text that holds a {} or a line break in quotes",
                     num_fields_, num_fields_ == 1 ? "" : "s", width_, separator_ == ',' ? "comma" : "tab"));
  values.resize(chosen_.size());
  for (std::size_t i = 0; i < chosen_.size(); ++i) values[i] = row_[chosen_[i]];
  return true;
}

// Into the first num_fields_ of row_.
bool DelimitedReader::read_row() {
  for (;;) {
    line_ = file_.line();
    num_fields_ = row_bytes_ = 0;
    const int first = file_.peek();
    if (first == TextFile::end) return false;
    do {
      if (num_fields_ == max_fields) fail(fmt::format("has a row of more than {} fields", max_fields));
      if (num_fields_ == row_.size()) row_.emplace_back();
    } while (read_field(row_[num_fields_++]));
    const bool has_characters = num_fields_ > 1 || !row_[0].empty() || (quotes_ && first == '"');
    if (has_characters) return true;
  }
}

// Whether another field follows in the row.
bool DelimitedReader::read_field(std::string& field) {
  field.clear();
  const bool quoted = quotes_ && file_.peek() == '"';
  if (quoted) read_quoted(field);
  for (;;) {
    const int byte = file_.get();
    if (byte == separator_) return true;
    if (byte == '\n' || byte == TextFile::end) return false;
    if (byte == '\r') {
      if (file_.get() == '\n') return false;
      fail(
          "has a carriage return without a line feed: end lines with a line feed, and put a text that holds one in "
          "quotes");
    }
    if (quoted)
      fail(
          "has more in a field after its closing quote: write a quote within quotes twice, or give --no-quotes where "
          "quotes are characters like any other");
    append(field, byte);
  }
}

// From the opening quote to the closing one.
void DelimitedReader::read_quoted(std::string& field) {
  file_.get();
  for (;;) {
    const int byte = file_.get();
    if (byte == TextFile::end)
      fail("has a field whose closing quote is missing; give --no-quotes where quotes are characters like any other");
    if (byte == '"' && file_.peek() != '"') return;
    if (byte == '"') file_.get();
    append(field, byte);
  }
}

void DelimitedReader::append(std::string& field, int byte) {
  if (++row_bytes_ > max_row_bytes) fail("has a row of more than 16 MB: is a closing quote missing?");
  field += static_cast<char>(byte);
}

void DelimitedReader::find_by_name(const std::vector<std::string>& columns) {
  const std::span<const std::string> header(row_.data(), num_fields_);
  for (const std::string& column : columns) {
    const auto found = std::find(header.begin(), header.end(), column);
    if (found == header.end()) fail_for_column(column, header);
    if (std::find(found + 1, header.end(), column) != header.end())
      fail(fmt::format("has two columns '{}': give them different names", column));
    chosen_.push_back(static_cast<std::size_t>(found - header.begin()));
  }
}

void DelimitedReader::find_by_number(const std::vector<std::string>& columns) {
  for (const std::string& column : columns) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(column.data(), column.data() + column.size(), number);
    if (error != std::errc{} || end != column.data() + column.size() || column.starts_with('0') || number > width_)
      fail(fmt::format("has no column '{}': without a header columns are numbers, here from 1 to {}", column, width_));
    chosen_.push_back(number - 1);
  }
}

}  // namespace fedmpi
