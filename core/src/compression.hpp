#pragma once

#include "compression_codecs.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/random.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What happens to a client's updates between its fit and the aggregate (federation.compression): each is encoded as the
// client would send it, and what the receiver would decode takes its place. Whatever follows, a sum or slices, sees
// nothing else, so that the effect on learning is that of a real link; between the ranks of this job the updates travel
// as they always do. All rows of ClientTrainer::updates() are compressed, SCAFFOLD's control variates as the update,
// and each by itself; shared statistics and records are not.
//
// Error feedback (Stich et al. 2018; Karimireddy et al. 2019, "Error feedback fixes SignSGD"): what was not sent is
// added to what the client has to send in its next round, so that only rounding is lost in the end.
//
// Rules of a table in the engine and no plugin kind: an interface would have to hand over keys, residuals and bytes for
// what is a few loops each, and a strategy's finish_fit may change its updates in any other way already.
class FEDMPI_API Compression {
 public:
  // For `num_updates` vectors of `size` elements a client. Error when the rule cannot take so many.
  Compression(const RuleChoice& rule, std::int64_t num_updates, std::int64_t size);

  // What a client sends of its updates: 4 bytes an element where nothing is compressed.
  std::int64_t bytes() const { return num_updates_ * vector_bytes_; }

  bool is_on() const { return codec_ != nullptr; }

  // `updates`: float32 [num_updates, size], in and out. `residual`: float32 [residual_size], what the client has not
  // sent so far, in and out; undefined where there is no error feedback. `key`: of this client in this round. Error,
  // with the residual untouched, when an element to be sent is not finite.
  void apply(const at::Tensor& updates, const at::Tensor& residual, RandomKey key);

 private:
  void apply_to_vector(float* values, float* residual, RandomKey key);

  std::unique_ptr<UpdateCodec> codec_;  // null: nothing is compressed
  std::int64_t num_updates_, size_, vector_bytes_;
  std::vector<std::byte> bytes_;  // of one vector
};

// Elements that a client keeps for error feedback, 0 where the rule has none.
FEDMPI_API std::int64_t residual_size(const RuleChoice& rule, std::int64_t num_updates, std::int64_t size);

}  // namespace fedmpi
