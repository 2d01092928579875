#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What becomes of a tensor in a federated run. Only shared tensors travel between ranks.
enum class TensorRole : std::uint8_t {
  shared,  // trained by every client, averaged by the server
  local,   // trained, but stays with its client (FedBN, personal heads)
  frozen,  // never trained
};

struct TensorSpec {
  std::string name;  // as in the model's own files, "encoder.layer.0.output.dense.weight"
  std::vector<std::int64_t> shape;
  TensorRole role = TensorRole::shared;
  std::optional<double> learning_rate = std::nullopt;  // instead of training.learning_rate
};

// Where each tensor lies in a model's one flat float32 buffer. Tensors are placed by role (shared, local,
// frozen), in the order given within a role, each at a multiple of 16 elements (64 bytes); the gaps are zero
// for ever. Immutable; may be read from any thread.
class FEDMPI_API Layout {
 public:
  Layout() = default;
  explicit Layout(std::vector<TensorSpec> specs);  // std::logic_error when two names are equal

  std::size_t num_tensors() const { return specs_.size(); }
  const TensorSpec& spec(std::size_t index) const { return specs_[index]; }
  std::int64_t offset(std::size_t index) const { return offsets_[index]; }
  std::int64_t num_elements(std::size_t index) const;
  std::optional<std::size_t> find(std::string_view name) const;

  // Lengths in elements. The buffer is [0, size()); [0, shared_size()) travels; [0, trainable_size()) has a gradient.
  std::int64_t size() const { return size_; }
  std::int64_t shared_size() const { return shared_size_; }
  std::int64_t trainable_size() const { return trainable_size_; }

  // The tensor `index` as a view of `buffer` (1-D, at least as long as the tensor's end; any dtype and device).
  at::Tensor view(const at::Tensor& buffer, std::size_t index) const;

  // Neighbouring trainable tensors with one learning rate, as [begin, end) in elements.
  struct Run {
    std::int64_t begin;
    std::int64_t end;
    std::optional<double> learning_rate;
  };
  std::vector<Run> runs() const;

 private:
  std::vector<TensorSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::int64_t size_ = 0;
  std::int64_t shared_size_ = 0;
  std::int64_t trainable_size_ = 0;
};

}  // namespace fedmpi
