#pragma once

#include <cstdint>
#include <functional>

namespace fedmpi {

// Calls work(0) .. work(count - 1) on as many threads as this rank has. Tensor operations within `work` run on its own
// thread alone, so that no bit depends on the number of threads. Throws what the lowest of them threw. Main thread
// only.
void parallel_blocks(std::int64_t count, const std::function<void(std::int64_t)>& work);

// The same for one piece of work, on the main thread: where a library cuts a tensor for several threads, the last
// elements of a piece may be computed by other instructions, and so to other bits.
inline void on_one_thread(const std::function<void()>& work) {
  parallel_blocks(1, [&](std::int64_t) { work(); });
}

}  // namespace fedmpi
