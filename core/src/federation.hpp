#pragma once

#include "fedmpi/federation.hpp"
#include "fedmpi/job.hpp"

namespace fedmpi {

// Fills in request.text on every rank. One rank reads the file: others may not see it, or see an older one. A text that
// is there is kept: a run that starts over is the run that it was. Collective.
void share_job_text(Communicator& communicator, RunRequest& request);

// The job that a request with a text asks for. UserError.
Job requested_job(const RunRequest& request);

}  // namespace fedmpi
