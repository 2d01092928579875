#pragma once

#include "fedmpi/export.hpp"

#include <chrono>

namespace fedmpi {

// When the run must be over: `max_seconds` after its start (0: never), or when the Slurm allocation it is in ends
// ($SLURM_JOB_END_TIME, in seconds since 1970), whichever comes first.
class FEDMPI_API TimeLimit {
 public:
  using Clock = std::chrono::system_clock;
  explicit TimeLimit(double max_seconds, Clock::time_point start = Clock::now());
  // Whether work that took `seconds` before can still be done, with a tenth of it to spare.
  bool leaves(double seconds) const;
  bool is_over() const { return !leaves(0.0); }
  double seconds_left() const;  // infinite without a limit

 private:
  Clock::time_point end_;
};

}  // namespace fedmpi
