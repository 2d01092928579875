#include "rehearsal.hpp"

#include "file_error.hpp"
#include "hdf5_handle.hpp"

#include <csignal>
#include <exception>

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fedmpi {

namespace {

constexpr rlim_t least_seconds = 10;
constexpr rlim_t bytes_per_second = rlim_t{1} << 20;  // a hundredth of what reading takes

// A crash is expected: it leaves no core file, no stack trace of MPI's and no message of the C library's.
void die_quietly(rlim_t seconds) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT}) std::signal(signal, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const rlimit time{seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &time);
  ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
}

// Sent by the system when memory is short, or by a user. Time runs out with SIGXCPU.
bool is_from_outside(int signal) {
  return signal == SIGKILL || signal == SIGTERM || signal == SIGINT;
}

// Of HDF5's files and what is in them. Some files cannot be closed again.
ssize_t num_open() {
  return H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL);
}

}  // namespace

void rehearse(const std::filesystem::path& path, const std::function<void()>& read) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return;  // the reader says what is wrong
  auto lock = hdf5::exclusive();
  const pid_t parent = ::getpid(), child = ::fork();
  lock.unlock();
  if (child < 0) throw Error(path.string() + ": no process could be started to read it in: " + errno_message());
  if (child == 0) {
    // It would hold the locks of a parent that has gone.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    die_quietly(least_seconds + size / bytes_per_second);
    const ssize_t before = num_open();
    try {
      read();
    } catch (const std::exception&) {  // it will be thrown again where it can be caught
    }
    ::_exit(num_open() == before ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error(path.string() + ": reading it in another process failed: " + errno_message());
  }
  if (WIFSIGNALED(status) && is_from_outside(WTERMSIG(status)))
    throw Error(fmt::format("{}: reading it in another process was ended by signal {}: is there enough memory?",
                            path.string(), WTERMSIG(status)));
  if (status != 0)
    throw file_error(
        path, fmt::format("is damaged in a way that the HDF5 library does not survive: {}", hdf5::damage_advice));
}

}  // namespace fedmpi
