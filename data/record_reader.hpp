#pragma once

#include "text_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

enum class TableFormat { csv, tsv, jsonl };

// How a table is to be read. The last two are for csv and tsv.
struct Dialect {
  TableFormat format = TableFormat::csv;
  bool header = true;  // the first row names the columns; else they are named by their numbers, from 1
  bool quotes = true;  // a field may stand in quotes; else a quote is a character like any other
};

// The chosen columns of a table, row by row. csv and tsv are as RFC 4180 has them, with commas or tabs between fields:
// rows end with a line feed, or carriage return and line feed; a field that begins with a quote ends with one, and
// holds separators, line breaks and doubled quotes. In jsonl each line is an object; texts, whole numbers and truth
// values can be chosen. Lines without a character are passed over. The file is untrusted: FileErrors name file and
// line.
class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // The values of the next row, in the order of the columns; false at the end.
  virtual bool next(std::vector<std::string>& values) = 0;
  // Throws FileError about the row that was read last.
  [[noreturn]] void fail(const std::string& what) const { file_.fail(line_, what); }
  std::int64_t bytes_read() const { return file_.bytes_read(); }

 protected:
  static constexpr std::size_t max_row_bytes = std::size_t{16} << 20;
  explicit RecordReader(const std::filesystem::path& path) : file_{path} {}
  // "has no column 'txet'; did you mean 'text'? (it has id, text)"
  [[noreturn]] void fail_for_column(const std::string& column, std::span<const std::string> present) const;

  TextFile file_;
  std::int64_t line_ = 1;  // where the row begins that was read last
};

// Throws FileError when the file cannot be read or lacks one of the columns.
std::unique_ptr<RecordReader> open_records(const std::filesystem::path& path, const Dialect& dialect,
                                           std::vector<std::string> columns);

}  // namespace fedmpi
