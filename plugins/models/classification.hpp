#pragma once

#include "fedmpi/model.hpp"

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Cross entropy and right answers of logits, or of their log_softmax, float32 [n, labels], against labels, int64 [n].
// Summed in double, in the order of the examples.
BatchResult score(const at::Tensor& logits, const at::Tensor& labels);
BatchResult score_log_probabilities(const at::Tensor& log_probabilities, const at::Tensor& labels);

// UserError for a label that is not one of `num_labels`. `model` names it in the message.
void check_labels(const Batch& batch, std::int64_t num_labels, const char* model);

}  // namespace fedmpi
