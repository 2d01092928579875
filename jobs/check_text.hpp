#pragma once

#include "fedmpi/check.hpp"

#include <string>

namespace fedmpi {

// What `fedmpi check` prints: for people, a line a topic, warnings and a last word; and the same facts as JSON.
std::string text_of(const CheckReport& report);
std::string json_of(const CheckReport& report);

}  // namespace fedmpi
