#pragma once

#include "fedmpi/export.hpp"

#include <chrono>

namespace fedmpi {

// When the run must be over: `max_seconds` from now (0: never), or when the Slurm allocation it is in ends
// ($SLURM_JOB_END_TIME, in seconds since 1970), whichever comes first.
class FEDMPI_API TimeLimit {
 public:
  explicit TimeLimit(double max_seconds);
  // Whether work that took `seconds` before can still be done, with a tenth of it to spare.
  bool leaves(double seconds) const;
  bool is_over() const { return !leaves(0.0); }

 private:
  std::chrono::system_clock::time_point end_;
};

}  // namespace fedmpi
