#include "peer_watch.hpp"

#include "stopwatch.hpp"

#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fedmpi {
namespace {

using namespace std::chrono_literals;

// A process that waits, of this program or of another.
class Process {
 public:
  explicit Process(bool of_this_program) : pid_{::fork()} {
    if (pid_ != 0) return;
    if (!of_this_program) ::execlp("sleep", "sleep", "60", nullptr);
    for (;;) ::pause();
  }
  ~Process() {
    ::kill(pid_, SIGKILL);
    if (!reaped_) ::waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }
  bool ends_within(double seconds) {
    for (const Stopwatch stopwatch; stopwatch.seconds() < seconds; std::this_thread::sleep_for(10ms))
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return reaped_ = true;
    return false;
  }

 private:
  int pid_;
  bool reaped_ = false;
};

TEST(PeerWatch, EndsWhatIsStoppedForTooLong) {
  Process running(true), stopped(true);
  testing::internal::CaptureStderr();
  const PeerWatch watch({running.pid(), stopped.pid()}, 0.2);
  ::kill(stopped.pid(), SIGSTOP);
  EXPECT_TRUE(stopped.ends_within(10.0));
  EXPECT_FALSE(running.ends_within(0.3));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("has been stopped"), std::string::npos);
}

TEST(PeerWatch, SparesWhatGoesOnInTimeAndOtherPrograms) {
  Process briefly(true), other(false);
  std::this_thread::sleep_for(100ms);  // until it is the other program
  const PeerWatch watch({briefly.pid(), other.pid()}, 0.5);
  ::kill(other.pid(), SIGSTOP);
  for (int i = 0; i < 4; ++i) {
    ::kill(briefly.pid(), SIGSTOP);
    std::this_thread::sleep_for(150ms);
    ::kill(briefly.pid(), SIGCONT);
    std::this_thread::sleep_for(150ms);
  }
  EXPECT_FALSE(briefly.ends_within(0.2));
  EXPECT_FALSE(other.ends_within(0.1));
}

TEST(PeerWatch, TheFirstOfThoseThatRunOutlivesTheOthers) {
  auto last = std::make_unique<Process>(true);
  testing::internal::CaptureStderr();
  const PeerWatch watch({::getpid(), last->pid()}, 0.2), of_a_later_one({last->pid(), ::getpid()}, 0.2);
  of_a_later_one.outlive_others([] {});  // returns: not its task
  EXPECT_FALSE(last->ends_within(0.1));
  ::kill(last->pid(), SIGSTOP);
  int turns = 0;
  watch.outlive_others([&turns] { ++turns; });  // a process that has ended and is not waited for counts as gone
  EXPECT_TRUE(last->ends_within(0.1));
  EXPECT_GT(turns, 10);
  testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace fedmpi
