#pragma once

#include "fedmpi/export.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace fedmpi {

// One line on stderr that says how far a piece of work is: redrawn in place on a terminal (at most ten times a
// second), a plain line every ten seconds or so where stderr is not one. Disabled, it prints nothing. One thread.
class FEDMPI_API Progress {
 public:
  Progress(std::string title, std::int64_t total, std::string unit, bool enabled);
  ~Progress();  // ends the line; after an exception a plain one is left out
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(std::int64_t amount = 1, const std::string& note = "");

 private:
  void draw(bool last);
  std::string title_, unit_, note_;
  std::int64_t total_, done_ = 0;
  bool enabled_, terminal_;
  std::chrono::steady_clock::time_point start_, drawn_;
};

}  // namespace fedmpi
