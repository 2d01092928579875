#pragma once

#include "inspect_facts.hpp"

namespace fedmpi {

// A file of arrays, with classes where its labels can be that, else with numbers to predict. FileError for one that
// cannot be used either way.
Facts array_facts(const InspectRequest& request);
void print_arrays(const Facts& facts);

}  // namespace fedmpi
