#pragma once

#include <ATen/Parallel.h>

namespace fedmpi {

// While it lives, LibTorch's operators run on one thread: convolutions, float32 products and whole sums take their
// terms in another order with another number of threads, and the last elements of a thread's piece may be computed by
// other instructions. Results must not depend on that. On the main thread, or on one where they do so anyway.
class OneThread {
 public:
  OneThread() : before_{at::get_num_threads()} {
    if (before_ != 1) at::set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) at::set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace fedmpi
