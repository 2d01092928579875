#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What becomes of a tensor in a federated run, in the order of the buffer. A parameter has a gradient and is trained; a
// statistic (a batch norm's running mean) has none, but the model changes it while it fits.
enum class TensorRole : std::uint8_t {
  shared,           // a parameter that travels: trained by every client, averaged by the strategy
  statistic,        // a statistic that travels: averaged plainly, whatever the strategy
  local,            // a parameter that stays with its client (FedBN, personal heads)
  local_statistic,  // a statistic that stays with its client
  frozen,           // never changes
};

// What a model says of its tensors, so that a strategy need not guess from names which ones to give another role.
enum class TensorKind : std::uint8_t {
  weight,         // whatever is neither of the following
  normalization,  // a norm's scale, shift and running statistics
  head,           // of the last layers, which know what the labels are
};

struct TensorSpec {
  std::string name;  // as in the model's own files, "encoder.layer.0.output.dense.weight"
  std::vector<std::int64_t> shape;
  TensorRole role = TensorRole::shared;
  std::optional<double> learning_rate = std::nullopt;  // instead of training.learning_rate
  TensorKind kind = TensorKind::weight;
};

// Where each tensor lies in a model's one flat float32 buffer. A tensor's index is its place among the specs given,
// whatever its role; in the buffer tensors are placed by role, in the order given within a role, each at a multiple of
// 16 elements (64 bytes); the gaps are zero for ever. Immutable; may be read from any thread.
class FEDMPI_API Layout {
 public:
  Layout() = default;
  explicit Layout(std::vector<TensorSpec> specs);  // std::logic_error when two names are equal

  // The same tensors at the same indices in the roles that `role_of` gives them. A statistic that is made shared or
  // local becomes `statistic` or `local_statistic`; std::logic_error for a parameter that is made a statistic.
  Layout with_roles(const std::function<TensorRole(const TensorSpec&)>& role_of) const;

  std::size_t num_tensors() const { return specs_.size(); }
  const TensorSpec& spec(std::size_t index) const { return specs_[index]; }
  std::int64_t offset(std::size_t index) const { return offsets_[index]; }
  std::int64_t num_elements(std::size_t index) const;
  std::optional<std::size_t> find(std::string_view name) const;
  bool has_gradient(std::size_t index) const;
  // All indices in the order of the buffer.
  std::span<const std::size_t> order() const { return order_; }

  // Lengths in elements, none larger than the next. [0, shared_parameters_size()) is what strategies see,
  // [0, shared_size()) what travels: with the shared statistics. [shared_size(), trainable_size()) stays with its
  // client. Gradients are [0, trainable_size()); those of statistics stay zero. The buffer is [0, size()).
  std::int64_t shared_parameters_size() const { return shared_parameters_size_; }
  std::int64_t shared_size() const { return shared_size_; }
  std::int64_t trainable_size() const { return trainable_size_; }
  std::int64_t size() const { return size_; }

  // The tensor `index` as a view of `buffer` (1-D, at least as long as the tensor's end; any dtype and device).
  at::Tensor view(const at::Tensor& buffer, std::size_t index) const;
  // The same of the gradients, undefined where there is none.
  at::Tensor gradient_view(const at::Tensor& gradients, std::size_t index) const;

  // Neighbouring parameters that are trained, with one learning rate, as [begin, end) in elements.
  struct Run {
    std::int64_t begin;
    std::int64_t end;
    std::optional<double> learning_rate;
  };
  std::vector<Run> runs() const;

 private:
  std::vector<TensorSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::vector<std::size_t> order_;
  std::int64_t shared_parameters_size_ = 0;
  std::int64_t shared_size_ = 0;
  std::int64_t trainable_size_ = 0;
  std::int64_t size_ = 0;
};

}  // namespace fedmpi
