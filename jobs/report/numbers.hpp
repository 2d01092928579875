#pragma once

#include <cstdint>
#include <string>

namespace fedmpi {

// Numbers as people read them.
std::string grouped(std::int64_t value);  // "12,345"
std::string whole(double value);          // "12,345", of any size
std::string measured(double value);       // a loss or a share: "0.8290", "1.23e+12", "NaN"
std::string duration(double seconds);     // "125 ms", "46.5 s", "2 min 56 s", "3 h 05 min"
std::string byte_size(double bytes);      // "5.0 GB", in powers of 1000
std::string percentage(double share);     // "12.5 %"

}  // namespace fedmpi
