#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <string>

namespace fedmpi {

// Quantities as people read them.
FEDMPI_API std::string bytes_text(std::int64_t bytes);  // "999 B", "5.0 GB", "804 MB", in powers of 1000
FEDMPI_API std::string seconds_text(double seconds);    // "125 ms", "46.5 s", "2 min 56 s", "3 h 05 min", "4 days 02 h"

}  // namespace fedmpi
