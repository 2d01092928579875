#pragma once

#include "fedmpi/export.hpp"

namespace fedmpi {

// While it lives, SIGINT, SIGTERM and SIGUSR1 no longer end the process but are noted, for good; a second SIGINT ends
// it at once. One at a time.
class FEDMPI_API StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool raised() const noexcept;
};

}  // namespace fedmpi
