#pragma once

#include "record_reader.hpp"

#include <string>
#include <vector>

namespace fedmpi {

// An object a line, its values chosen by their keys: see RecordReader.
class JsonLinesReader final : public RecordReader {
 public:
  JsonLinesReader(const std::filesystem::path& path, std::vector<std::string> columns);
  bool next(std::vector<std::string>& values) override;

 private:
  bool read_line();

  const std::vector<std::string> columns_;
  std::string text_;  // of the line
};

}  // namespace fedmpi
