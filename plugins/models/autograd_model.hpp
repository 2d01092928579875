#pragma once

#include "fedmpi/model.hpp"
#include "fedmpi/random.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A classifier of dense features, or with one label a regressor by squared error, whose forward is written with
// LibTorch's operators; the backward is autograd's, into the flat gradients. It computes on one thread, and in float32
// where a forward does not say otherwise.
class AutogradModel : public Model {
 public:
  const Layout& layout() const override { return layout_; }
  void set_layout(Layout layout) override { layout_ = std::move(layout); }
  bool runs_on(at::DeviceType) const override { return true; }
  bool uses_one_thread() const override { return true; }
  Task task() const override { return num_labels_ == 1 ? Task::regression : Task::classification; }
  std::int64_t num_labels() const override { return num_labels_; }
  void check(const Batch& batch) const override;
  void bind(at::Tensor values, at::Tensor gradients, Precision precision) override;
  BatchResult fit(const Batch& batch, RandomKey key) override;
  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override;

 protected:
  // An example has `input_shape`; one dimension: features of any shape that has as many numbers. `name` is the
  // plugin's.
  AutogradModel(const char* name, const char* shape_option, std::vector<std::int64_t> input_shape,
                std::int64_t num_labels, Layout layout);

  // Logits, or what is predicted, [n, num_labels] from features [n, input_shape...]. No key: nothing is dropped.
  virtual at::Tensor forward(const at::Tensor& features, std::optional<RandomKey> dropout) const = 0;

  const at::Tensor& parameter(std::size_t index) const { return parameters_[index]; }
  Precision precision() const { return precision_; }

  // in * weight^T + bias, float32, with the weight `index` and the bias after it; each at most once a forward.
  at::Tensor linear(const at::Tensor& in, std::size_t index) const;

 private:
  at::Tensor features_of(const Batch& batch) const;

  const char* name_;
  const char* shape_option_;
  std::vector<std::int64_t> input_shape_;
  std::int64_t num_labels_;
  Layout layout_;
  at::Device device_ = at::kCPU;
  Precision precision_ = Precision::float32;
  std::vector<at::Tensor> parameters_;
  // The weights of the last forward's linear layers, whose gradients need not be zero before the backward.
  mutable std::vector<bool> is_linear_;
};

// Writes numbers between -bound and bound to `tensor`.
void fill_uniform(at::Tensor tensor, double bound, RandomKey key);

// The bound of Xavier's uniform initialisation (Glorot & Bengio 2010) for a weight [out, in, ...].
double xavier_bound(const std::vector<std::int64_t>& shape);

// The bound that torch.nn gives a layer's bias (and a linear layer's weight), from the shape of its weight.
double default_bound(const std::vector<std::int64_t>& weight_shape);

// `in` with each element dropped with this probability, to the nearest 1/65536, and the others scaled up.
at::Tensor dropped(const at::Tensor& in, double probability, RandomKey key);

}  // namespace fedmpi
