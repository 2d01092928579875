#include "outputs.hpp"

#include "fedmpi/error.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

at::Tensor mean_loss(const at::Tensor& outputs, const Batch& batch) {
  return batch.targets.defined() ? at::mse_loss(outputs.flatten(), batch.targets.to(outputs.device()))
                                 : at::cross_entropy_loss(outputs, batch.labels.to(outputs.device()));
}

BatchResult score(const at::Tensor& outputs, const Batch& batch) {
  if (!batch.targets.defined()) return score_log_probabilities(outputs.detach().log_softmax(1).cpu(), batch.labels);
  const at::Tensor predicted = outputs.detach().flatten().cpu();
  const auto from = predicted.accessor<float, 1>(), to = batch.targets.accessor<float, 1>();
  BatchResult result{.num_examples = batch.targets.size(0)};
  for (std::int64_t i = 0; i < result.num_examples; ++i) {
    const double error = static_cast<double>(from[i]) - static_cast<double>(to[i]);
    result.loss_sum += error * error;
  }
  return result;
}

BatchResult score_log_probabilities(const at::Tensor& log_probabilities, const at::Tensor& labels) {
  BatchResult result{.num_examples = labels.size(0)};
  const auto rows = log_probabilities.accessor<float, 2>();
  const auto truth = labels.accessor<std::int64_t, 1>();
  for (std::int64_t i = 0; i < labels.size(0); ++i) result.loss_sum -= static_cast<double>(rows[i][truth[i]]);
  return result;
}

void predict(const at::Tensor& outputs, const Batch& batch, at::Tensor predictions) {
  predictions.copy_(batch.targets.defined() ? outputs.detach().flatten() : outputs.detach().argmax(1));
}

void check_labels(const Batch& batch, std::int64_t num_labels, const char* model) {
  const auto labels = batch.labels.accessor<std::int64_t, 1>();
  for (std::int64_t i = 0; i < labels.size(0); ++i)
    if (labels[i] < 0 || labels[i] >= num_labels)
      throw UserError(
          fmt::format("an example has the label {}, but the model '{}' is made for {}: set model.num_labels", labels[i],
                      model, num_labels));
}

}  // namespace fedmpi
