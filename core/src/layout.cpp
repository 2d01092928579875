#include "fedmpi/layout.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
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

}  // namespace

Layout::Layout(std::vector<TensorSpec> specs) : specs_{std::move(specs)} {
  std::stable_sort(specs_.begin(), specs_.end(),
                   [](const TensorSpec& a, const TensorSpec& b) { return a.role < b.role; });
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    if (!names.insert(specs_[i].name).second) {
      throw std::logic_error("two tensors are named '" + specs_[i].name + "'");
    }
    offsets_.push_back(size_);
    size_ += (product(specs_[i].shape) + alignment - 1) / alignment * alignment;
    if (specs_[i].role == TensorRole::shared) shared_size_ = size_;
    if (specs_[i].role != TensorRole::frozen) trainable_size_ = size_;
  }
}

std::int64_t Layout::num_elements(std::size_t index) const {
  return product(specs_[index].shape);
}

std::optional<std::size_t> Layout::find(std::string_view name) const {
  for (std::size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].name == name) return i;
  return std::nullopt;
}

at::Tensor Layout::view(const at::Tensor& buffer, std::size_t index) const {
  return buffer.narrow(0, offsets_[index], num_elements(index)).view(specs_[index].shape);
}

std::vector<Layout::Run> Layout::runs() const {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < specs_.size() && specs_[i].role != TensorRole::frozen; ++i) {
    const std::int64_t end = i + 1 < specs_.size() ? offsets_[i + 1] : size_;
    if (!runs.empty() && runs.back().learning_rate == specs_[i].learning_rate)
      runs.back().end = end;
    else
      runs.push_back({offsets_[i], end, specs_[i].learning_rate});
  }
  return runs;
}

}  // namespace fedmpi
