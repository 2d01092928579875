#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The number of labels that the examples may have, and that the model may take them for.
struct LabelRange {
  Task task = Task::classification;
  std::int64_t num_labels = 0, num_predicted = 0;
};

// How many examples have which label and were taken for which: whole numbers, whose sum no order changes. The tensors
// are int64 and, but for `all`, views of it. A copy shares them.
struct FEDMPI_API LabelCounts {
  // Of no examples; for regression there is nothing to count.
  explicit LabelCounts(const LabelRange& range);

  // `count` examples with a label of the range. `predicted`: one too, or -1: the model does not say.
  void add(bool is_central, std::int64_t label, std::int64_t predicted, std::int64_t count = 1);

  static std::int64_t size(const LabelRange& range);

  LabelRange range;
  at::Tensor all;        // [size(range)], which ranks add up
  at::Tensor unknown;    // [1], examples of which the model does not say
  at::Tensor of_label;   // [2, num_labels], of the clients' examples, then of the central ones: those with the label,
  at::Tensor taken_for;  // those taken for it,
  at::Tensor right;      // and those that are both
  at::Tensor confusion;  // [num_labels, num_predicted], of the central ones; empty where there are more than 100 labels
};

}  // namespace fedmpi
