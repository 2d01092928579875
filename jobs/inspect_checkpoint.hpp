#pragma once

#include "inspect_facts.hpp"

namespace fedmpi {

// The files of a run's checkpoints directory. FileError for one that is damaged.
Facts checkpoint_facts(const InspectRequest& request);
Facts partial_round_facts(const InspectRequest& request);
Facts client_state_facts(const InspectRequest& request);
void print_checkpoint(const Facts& facts);
void print_partial_round(const Facts& facts);
void print_client_state(const Facts& facts);

}  // namespace fedmpi
