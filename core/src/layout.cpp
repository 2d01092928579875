#include "fedmpi/layout.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>

namespace fedmpi {

namespace {

constexpr std::int64_t alignment = 16;

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(elements, extent, &elements)) throw UserError("a tensor of the model is too large");
  return elements;
}

std::int64_t length_with_gap(const TensorSpec& spec) {
  return (product(spec.shape) + alignment - 1) / alignment * alignment;
}

bool is_statistic(TensorRole role) {
  return role == TensorRole::statistic || role == TensorRole::local_statistic;
}

TensorRole role_of_statistic(TensorRole role) {
  if (role == TensorRole::shared) return TensorRole::statistic;
  if (role == TensorRole::local) return TensorRole::local_statistic;
  return role;
}

}  // namespace

Layout::Layout(std::vector<TensorSpec> specs)
    : specs_{std::move(specs)}, offsets_(specs_.size()), order_(specs_.size()) {
  std::set<std::string_view> names;
  for (const TensorSpec& spec : specs_)
    if (!names.insert(spec.name).second) throw std::logic_error("two tensors are named '" + spec.name + "'");
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::ranges::stable_sort(order_, {}, [this](std::size_t index) { return specs_[index].role; });
  for (const std::size_t index : order_) {
    const TensorRole role = specs_[index].role;
    offsets_[index] = size_;
    size_ += length_with_gap(specs_[index]);
    if (role <= TensorRole::shared) shared_parameters_size_ = size_;
    if (role <= TensorRole::statistic) shared_size_ = size_;
    if (role < TensorRole::frozen) trainable_size_ = size_;
  }
}

Layout Layout::with_roles(const std::function<TensorRole(const TensorSpec&)>& role_of) const {
  std::vector<TensorSpec> specs = specs_;
  for (TensorSpec& spec : specs) {
    const TensorRole role = role_of(spec);
    if (!is_statistic(spec.role) && is_statistic(role))
      throw std::logic_error("the parameter '" + spec.name + "' cannot become a statistic");
    spec.role = is_statistic(spec.role) ? role_of_statistic(role) : role;
  }
  return Layout(std::move(specs));
}

std::int64_t Layout::num_elements(std::size_t index) const {
  return product(specs_[index].shape);
}

std::optional<std::size_t> Layout::find(std::string_view name) const {
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return i;
  return std::nullopt;
}

bool Layout::has_gradient(std::size_t index) const {
  return specs_[index].role == TensorRole::shared || specs_[index].role == TensorRole::local;
}

at::Tensor Layout::view(const at::Tensor& buffer, std::size_t index) const {
  return buffer.narrow(0, offsets_[index], num_elements(index)).view(specs_[index].shape);
}

at::Tensor Layout::gradient_view(const at::Tensor& gradients, std::size_t index) const {
  return has_gradient(index) ? view(gradients, index) : at::Tensor();
}

std::vector<Layout::Run> Layout::runs() const {
  std::vector<Run> runs;
  for (const std::size_t index : order_) {
    if (!has_gradient(index)) continue;
    const TensorSpec& spec = specs_[index];
    const std::int64_t begin = offsets_[index], end = begin + length_with_gap(spec);
    if (!runs.empty() && runs.back().end == begin && runs.back().learning_rate == spec.learning_rate)
      runs.back().end = end;
    else
      runs.push_back({begin, end, spec.learning_rate});
  }
  return runs;
}

}  // namespace fedmpi
