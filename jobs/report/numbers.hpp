#pragma once

#include "fedmpi/quantity_text.hpp"

#include <cstdint>
#include <string>

namespace fedmpi {

// Numbers as people read them.
std::string grouped(std::int64_t value);  // "12,345"
std::string whole(double value);          // "12,345", of any size
std::string measured(double value);       // a loss or a share: "0.8290", "1.23e+12", "NaN"
std::string percentage(double share);     // "12.5 %"

}  // namespace fedmpi
