#pragma once

namespace fedmpi {

// While one lives, SIGINT, SIGTERM and SIGHUP are noted instead of ending the process, so that work can be put away
// first. Its end restores what was there and, when a signal was noted, raises it again. One at a time, main thread.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  void check() const;  // throws Error when a signal was noted
};

}  // namespace fedmpi
