#pragma once

#include "conformance_checks.hpp"
#include "fedmpi/model.hpp"
#include "tried_model.hpp"

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Compares the gradient with what the loss does around `values`, tensor by tensor.
void check_gradient(TriedModel& model, const at::Tensor& values, const Batch& batch);

}  // namespace fedmpi
