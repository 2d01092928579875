#include "label_counts.hpp"

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

constexpr std::int64_t max_confusion_labels = 100;

// Of a matrix that would hold far more numbers than examples nothing is needed but its diagonal and its sums.
std::int64_t confusion_size(const LabelRange& range) {
  return range.num_predicted <= max_confusion_labels ? range.num_labels * range.num_predicted : 0;
}

void increase(const at::Tensor& counts, std::int64_t row, std::int64_t column, std::int64_t count) {
  counts.data_ptr<std::int64_t>()[row * counts.size(1) + column] += count;
}

}  // namespace

std::int64_t LabelCounts::size(const LabelRange& range) {
  if (range.task == Task::regression) return 0;
  return 1 + 3 * 2 * range.num_labels + confusion_size(range);
}

LabelCounts::LabelCounts(const LabelRange& its_range) : range{its_range}, all{at::zeros({size(range)}, at::kLong)} {
  if (range.task == Task::regression) return;
  const at::Tensor by_label = all.narrow(0, 1, 3 * 2 * range.num_labels).view({3, 2, range.num_labels});
  unknown = all.narrow(0, 0, 1);
  of_label = by_label[0];
  taken_for = by_label[1];
  right = by_label[2];
  const std::int64_t rows = confusion_size(range) > 0 ? range.num_labels : 0;
  confusion = all.narrow(0, 1 + by_label.numel(), confusion_size(range)).view({rows, range.num_predicted});
}

void LabelCounts::add(bool is_central, std::int64_t label, std::int64_t predicted, std::int64_t count) {
  const int part = is_central ? 1 : 0;
  if (predicted < 0) {
    increase(unknown.view({1, 1}), 0, 0, count);
    return;
  }
  increase(of_label, part, label, count);
  // The model may have labels that the dataset does not have.
  if (predicted < range.num_labels) increase(taken_for, part, predicted, count);
  if (label == predicted) increase(right, part, label, count);
  if (is_central && confusion.numel() > 0) increase(confusion, label, predicted, count);
}

}  // namespace fedmpi
