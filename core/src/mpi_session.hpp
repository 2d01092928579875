#pragma once

namespace fedmpi {

void note_lost_rank();

// Whether MPI objects are freed and MPI is finalised at the end. Not once a rank was lost, which both may need, nor
// where one may still be lost meanwhile: Open MPI's MPI_Finalize then fails or waits for ever.
bool is_finalised_in_the_end();

}  // namespace fedmpi
