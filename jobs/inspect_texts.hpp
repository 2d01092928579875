#pragma once

#include "inspect_facts.hpp"

namespace fedmpi {

// A shard of tokenized texts. FileError for one that is damaged, and for a vocabulary that is not the one it was made
// with.
Facts text_facts(const InspectRequest& request);
void print_texts(const Facts& facts);

}  // namespace fedmpi
