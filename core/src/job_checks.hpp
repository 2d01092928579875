#pragma once

#include "fedmpi/job.hpp"
#include "job_text.hpp"

namespace fedmpi {

// What no single row of a table can say: keys that must fit each other. Lowers the defaults of the minimum numbers of
// clients to the number there is. Throws ConfigError.
void check_across_keys(Job& job, const JobText& text);

}  // namespace fedmpi
