#include "one_thread_each.hpp"

#include "fedmpi/one_thread.hpp"

#include <exception>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>

namespace fedmpi {

void for_each_on_one_thread(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(count));
  const int num_threads = at::get_num_threads();
  const OneThread one_thread;
  const at::ThreadLocalState state;
  // Not at::parallel_for, which opens no parallel region for a single piece. As many threads for few pieces too: the
  // others would end, and be made anew.
#pragma omp parallel for schedule(static) num_threads(num_threads)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      const at::ThreadLocalStateGuard guard(state);
      at::set_num_threads(1);  // the libraries' numbers of threads are each thread's own
      work(i);
    } catch (...) {
      failures[static_cast<std::size_t>(i)] = std::current_exception();
    }
  }
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace fedmpi
