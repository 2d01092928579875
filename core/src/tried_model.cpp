#include "tried_model.hpp"

#include "evaluation.hpp"
#include "fedmpi/digest.hpp"

#include <utility>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

bool same(const at::Tensor& one, const at::Tensor& other) {
  return one.sizes() == other.sizes() && digest(one.contiguous()) == digest(other.contiguous());
}

std::string difference(const BatchResult& one, const BatchResult& other) {
  if (one.loss_sum != other.loss_sum) return "the loss";
  return one.num_examples != other.num_examples ? "the number of examples" : "";
}

}  // namespace

TriedModel::TriedModel(std::unique_ptr<Model> model, Precision precision)
    : model_{std::move(model)},
      values_{at::zeros({model_->layout().size()}, at::kFloat)},
      gradients_{at::zeros({model_->layout().trainable_size()}, at::kFloat)} {
  model_->bind(values_, gradients_, precision);
}

at::Tensor TriedModel::initial(RandomKey key) {
  at::Tensor values = at::zeros_like(values_);
  model_->initialize(values, key);
  return values;
}

void TriedModel::load(const at::Tensor& values) {
  values_.copy_(values);
  model_->values_changed();
}

TriedModel::Fit TriedModel::fit(const at::Tensor& values, const Batch& batch, RandomKey key,
                                const at::Tensor& gradients) {
  load(values);
  if (gradients.defined())
    gradients_.copy_(gradients);
  else
    gradients_.zero_();
  const BatchResult sums = model_->fit(batch, key);
  return {sums, gradients_.clone(), values_.clone()};
}

TriedModel::Evaluation TriedModel::evaluate(const at::Tensor& values, const Batch& batch) {
  load(values);
  const at::Tensor predictions = no_predictions(batch.labels.size(0), model_->task());
  const BatchResult sums = model_->evaluate(batch, predictions);
  return {sums, predictions};
}

std::string difference(const TriedModel::Fit& one, const TriedModel::Fit& other) {
  if (std::string what = difference(one.sums, other.sums); !what.empty()) return what;
  if (!same(one.gradients, other.gradients)) return "the gradient";
  return same(one.values, other.values) ? "" : "the values afterwards";
}

std::string difference(const TriedModel::Evaluation& one, const TriedModel::Evaluation& other) {
  if (std::string what = difference(one.sums, other.sums); !what.empty()) return what;
  return same(one.predictions, other.predictions) ? "" : "the predictions";
}

bool gaps_are_zero(const Layout& layout, const at::Tensor& buffer) {
  at::Tensor rest = buffer.clone();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i)
    if (layout.offset(i) + layout.num_elements(i) <= rest.numel()) layout.view(rest, i).zero_();
  return rest.count_nonzero().item<std::int64_t>() == 0;
}

}  // namespace fedmpi
