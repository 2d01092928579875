#pragma once

#include "embedding.hpp"

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Sequences on a device, and how their rows, packed as [tokens, width], are moved there: by gathers in the forward and
// in the backward, so that no sum is taken whose order the device could choose.
class DeviceBatch {
 public:
  // The sequences [first, last) of `batch`, which has `labels`: one copy to the device.
  DeviceBatch(const PackedTokens& batch, std::span<const std::int64_t> labels, std::int64_t first, std::int64_t last,
              at::Device device);

  std::int64_t num_sequences() const { return num_sequences_; }
  std::int64_t longest() const { return longest_; }
  // int64, on the device: [tokens], [tokens], [sequences], [sequences].
  const at::Tensor& tokens() const { return tokens_; }
  const at::Tensor& positions() const { return positions_; }
  const at::Tensor& lengths() const { return lengths_; }
  const at::Tensor& labels() const { return labels_; }
  // bool [sequences, longest]: true where there is no token.
  const at::Tensor& padding() const { return padding_; }

  // From packed rows [tokens, width] to [sequences, longest, width], zero where there is no token, and back.
  at::Tensor pad(const at::Tensor& packed) const;
  at::Tensor unpad(const at::Tensor& padded) const;
  // [sequences, width] from packed rows.
  at::Tensor first_tokens(const at::Tensor& packed) const;

  // Which row each new row is; `none`, bool [rows, 1]: those that are zero instead. Undefined: no row is.
  struct Rows {
    at::Tensor from, none;
  };

 private:
  std::int64_t num_sequences_, longest_;
  at::Tensor tokens_, positions_, lengths_, labels_, padding_;
  Rows tokens_of_cells_, cells_of_tokens_, tokens_of_sequences_, sequences_of_tokens_;
};

}  // namespace fedmpi
