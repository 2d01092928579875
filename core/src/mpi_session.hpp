#pragma once

namespace fedmpi {

// Then MPI objects are not freed and MPI is not finalised: both may need the dead.
void note_lost_rank();
bool rank_was_lost();

}  // namespace fedmpi
