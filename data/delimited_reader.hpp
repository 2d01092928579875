#pragma once

#include "record_reader.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace fedmpi {

// Tables whose rows are fields with a separator between them: see RecordReader.
class DelimitedReader final : public RecordReader {
 public:
  DelimitedReader(const std::filesystem::path& path, const Dialect& dialect, const std::vector<std::string>& columns);
  bool next(std::vector<std::string>& values) override;

 private:
  bool read_row();
  bool read_field(std::string& field);
  void read_quoted(std::string& field);
  void append(std::string& field, int byte);
  void find_by_name(const std::vector<std::string>& columns);
  void find_by_number(const std::vector<std::string>& columns);

  const int separator_;
  const bool quotes_;
  std::vector<std::size_t> chosen_;  // places of the columns in a row
  std::vector<std::string> row_;     // its fields; the first num_fields_ are of the row read last
  std::size_t num_fields_ = 0, row_bytes_ = 0;
  std::size_t width_ = 0;  // fields that every row must have
  bool pending_ = false;   // the first row was read to count its fields, and not yet given
};

}  // namespace fedmpi
