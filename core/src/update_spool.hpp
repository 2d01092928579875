#pragma once

#include "fedmpi/export.hpp"

#include <algorithm>
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A rank's clients' updates of a round, in a nameless file in the directory for temporary files ($TMPDIR): of n updates
// none is in memory. One thread at a time. Errors: Error when the disk is full or fails.
class FEDMPI_API UpdateSpool {
 public:
  explicit UpdateSpool(std::int64_t size);  // in elements, of an update
  ~UpdateSpool();
  UpdateSpool(const UpdateSpool&) = delete;
  UpdateSpool& operator=(const UpdateSpool&) = delete;

  void clear();
  // float32 [size]. Error, with nothing kept, when an element is not finite.
  void append(const at::Tensor& update);
  std::int64_t num_updates() const { return num_updates_; }
  // Forgets all but the first `num_updates`.
  void truncate(std::int64_t num_updates) { num_updates_ = std::min(num_updates_, num_updates); }
  // `length` elements of update `index` from `begin`.
  void read(std::int64_t index, std::int64_t begin, std::int64_t length, float* out) const;

 private:
  std::int64_t size_;
  std::int64_t num_updates_ = 0;
  int file_ = -1;  // opened by the first update
};

}  // namespace fedmpi
