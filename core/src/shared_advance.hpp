#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>

namespace fedmpi {

// A caller's `advance` (see Host::fit) while clients are fitted on several threads: the one that made this calls it,
// for all of them, and what it throws reaches all.
class SharedAdvance {
 public:
  explicit SharedAdvance(const std::function<void(std::int64_t)>& advance);

  bool is_on_main_thread() const { return std::this_thread::get_id() == main_; }

  // After a client's step, on its thread. Throws as check() does.
  void step(std::int64_t tokens);
  // Throws what advance threw: an exception of the standard, which is the failure of every client at hand, or another,
  // which ends them all.
  void check() const;
  // Calls advance for the steps of all threads, unless it threw before. Main thread.
  void tell();

  // Ends all, by the exception that is being handled: not the failure of a client.
  void end();
  bool has_ended() const { return has_ended_; }
  void rethrow_end() const;  // if there was one

 private:
  const std::function<void(std::int64_t)>& advance_;
  const std::thread::id main_;
  std::atomic<std::int64_t> tokens_{0};
  // Each is written once, before the flag that says so.
  std::exception_ptr failure_, end_;
  std::atomic<bool> has_failed_{false}, has_ended_{false};
  std::atomic_flag is_ending_;
};

}  // namespace fedmpi
