#pragma once

#include <cstdint>
#include <functional>

namespace fedmpi {

// Calls work(0) .. work(count - 1) on as many threads as this rank has, where each runs LibTorch's operators on its own
// thread alone: work(i) on a thread of its own while there are no more than those. Returns when all are done; throws
// what the lowest of them threw. Main thread only.
void for_each_on_one_thread(std::int64_t count, const std::function<void(std::int64_t)>& work);

}  // namespace fedmpi
