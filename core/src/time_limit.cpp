#include "time_limit.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace fedmpi {

namespace {

using Clock = TimeLimit::Clock;

constexpr std::chrono::seconds needed_to_end{5};  // a checkpoint, and MPI's own end

Clock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

TimeLimit::TimeLimit(double max_seconds, Clock::time_point start) : end_{Clock::time_point::max()} {
  if (max_seconds > 0.0) end_ = start + duration_of(max_seconds);
  if (const char* text = std::getenv("SLURM_JOB_END_TIME")) {
    const long long seconds = std::strtoll(text, nullptr, 10);
    if (seconds > 0) end_ = std::min(end_, Clock::time_point(std::chrono::seconds(seconds)) - needed_to_end);
  }
}

bool TimeLimit::leaves(double seconds) const {
  return end_ == Clock::time_point::max() || Clock::now() + duration_of(1.1 * seconds) < end_;
}

double TimeLimit::seconds_left() const {
  if (end_ == Clock::time_point::max()) return std::numeric_limits<double>::infinity();
  return std::chrono::duration<double>(end_ - Clock::now()).count();
}

}  // namespace fedmpi
