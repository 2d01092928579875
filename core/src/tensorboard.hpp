#pragma once

#include "fedmpi/metrics.hpp"

#include <filesystem>
#include <fstream>
#include <string_view>

namespace fedmpi {

// A TensorBoard event file of this process in `directory`: TFRecords of Event messages, flushed one by one.
// Throws FileError when a write fails.
class EventWriter {
 public:
  explicit EventWriter(const std::filesystem::path& directory);
  void write(const RoundMetrics& metrics);

 private:
  void write_record(std::string_view message);
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace fedmpi
