#include "workspace.hpp"

namespace fedmpi {

void add_partial_sums(const float* partial, std::int64_t blocks, std::int64_t stride, std::int64_t width, float* sums) {
  if (sums == nullptr) return;
  for (std::int64_t block = 0; block < blocks; ++block)
    for (std::int64_t i = 0; i < width; ++i) sums[i] += partial[block * stride + i];
}

}  // namespace fedmpi
