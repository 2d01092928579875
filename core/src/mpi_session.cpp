#include "mpi_session.hpp"

#include "fedmpi/communicator.hpp"
#include "peer_watch.hpp"
#include "stop_signals.hpp"
#include "ulfm.hpp"

#include <csignal>
#include <cstdlib>
#include <exception>

#include <mpi.h>

namespace fedmpi {

namespace {

bool lost = false;

}  // namespace

void note_lost_rank() {
  lost = true;
}
bool is_finalised_in_the_end() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return !lost && (size == 1 || !ulfm::is_on());
}

MpiSession::MpiSession(int& argc, char**& argv) {
  note_warning_signal();
  // Open MPI's transfers over TCP by put and get crash or hang when the other side dies. And the address of a rank on
  // another node, asked for when it is first spoken to, never comes once that rank is dead: all are asked for now. The
  // user may know better. What is still sent to a dead rank must be an error, which Open MPI handles, and not a signal
  // that ends this one too.
  if (ulfm::is_on()) {
    std::signal(SIGPIPE, SIG_IGN);
    ::setenv("OMPI_MCA_btl_tcp_flags", "1", 0);
    ::setenv("OMPI_MCA_mpi_add_procs_cutoff", "1000000", 0);
  }
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
    throw Error("MPI could not be initialised: is the program started by the mpirun of the MPI it was built with?");
  if (provided < MPI_THREAD_FUNNELED) throw Error("this MPI does not allow threads beside the one that calls it");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() != 0) return;
  const bool finalised = is_finalised_in_the_end();
  if (finalised) MPI_Finalize();
  // A rank that is stopped after its work is done would keep the launcher waiting. Meanwhile others may still ask this
  // one what was agreed on, which MPI answers when it is called.
  if (watch_ != nullptr)
    watch_->outlive_others([finalised] {
      int arrived = 0;
      if (!finalised) MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &arrived, MPI_STATUS_IGNORE);
    });
}

void MpiSession::end_frozen(const std::vector<int>& pids, double seconds) {
  if (watch_ == nullptr) watch_ = std::make_unique<PeerWatch>(pids, seconds);
  watch_->set_seconds(seconds);
}

void MpiSession::abort(int status) noexcept {
  int initialised = 0, finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  if (initialised != 0 && finalised == 0) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace fedmpi
