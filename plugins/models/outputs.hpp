#pragma once

#include "fedmpi/model.hpp"

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What a model's outputs, float32, mean. Classification: logits [n, labels]. Regression (batches that have targets):
// predictions [n] or [n, 1]. Losses are cross entropy and squared error.

// The mean loss over the batch, for autograd.
at::Tensor mean_loss(const at::Tensor& outputs, const Batch& batch);

// The same summed in double, in the order of the examples.
BatchResult score(const at::Tensor& outputs, const Batch& batch);
BatchResult score_log_probabilities(const at::Tensor& log_probabilities, const at::Tensor& labels);

// See Model::evaluate.
void predict(const at::Tensor& outputs, const Batch& batch, at::Tensor predictions);

// UserError for a label that is not one of `num_labels`. `model` names it in the message.
void check_labels(const Batch& batch, std::int64_t num_labels, const char* model);

}  // namespace fedmpi
