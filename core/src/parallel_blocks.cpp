#include "parallel_blocks.hpp"

#include <exception>
#include <vector>

#include <ATen/Parallel.h>

namespace fedmpi {

void parallel_blocks(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(count));
  // Not at::parallel_for, which opens no parallel region for a single block: its operations would use all threads.
#pragma omp parallel for schedule(static) num_threads(at::get_num_threads())
  for (std::int64_t block = 0; block < count; ++block) {
    try {
      work(block);
    } catch (...) {
      failures[static_cast<std::size_t>(block)] = std::current_exception();
    }
  }
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace fedmpi
