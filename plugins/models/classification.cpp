#include "classification.hpp"

#include "fedmpi/error.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

BatchResult score(const at::Tensor& logits, const at::Tensor& labels) {
  return score_log_probabilities(logits.detach().log_softmax(1), labels);
}

BatchResult score_log_probabilities(const at::Tensor& log_probabilities, const at::Tensor& labels) {
  BatchResult result{.num_examples = labels.size(0)};
  const at::Tensor chosen = log_probabilities.argmax(1);
  const auto rows = log_probabilities.accessor<float, 2>();
  const auto truth = labels.accessor<std::int64_t, 1>(), guess = chosen.accessor<std::int64_t, 1>();
  for (std::int64_t i = 0; i < labels.size(0); ++i) {
    result.loss_sum -= static_cast<double>(rows[i][truth[i]]);
    result.num_correct += guess[i] == truth[i] ? 1 : 0;
  }
  return result;
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
