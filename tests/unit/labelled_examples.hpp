#pragma once

#include "fedmpi/dataset.hpp"

#include <utility>
#include <vector>

namespace fedmpi {

// A dataset of nothing but labels and natural ids.
class LabelledExamples final : public Dataset {
 public:
  LabelledExamples(std::vector<std::int64_t> train, std::vector<std::int64_t> test, std::int64_t num_labels)
      : train_{std::move(train), {}, {}}, test_{std::move(test), {}, {}}, num_labels_{num_labels} {
    for (Part* part : {&train_, &test_})
      for (std::size_t i = 0; i < part->labels.size(); ++i)
        part->lengths.push_back(static_cast<std::int64_t>(i % 7) + 1);
  }

  void set_keys(std::vector<std::int64_t> train, std::vector<std::int64_t> test) {
    train_.keys = std::move(train);
    test_.keys = std::move(test);
  }

  std::int64_t size(Split split) const override { return std::ssize(part(split).labels); }
  std::span<const std::int64_t> labels(Split split) const override { return part(split).labels; }
  std::int64_t num_labels() const override { return num_labels_; }
  std::span<const std::int64_t> lengths(Split split) const override { return part(split).lengths; }
  std::span<const std::int64_t> keys(Split split) const override { return part(split).keys; }
  Batch batch(Split, std::span<const std::int64_t>) const override { return {}; }
  std::string digest() const override { return {}; }

 private:
  struct Part {
    std::vector<std::int64_t> labels, lengths, keys;
  };
  const Part& part(Split split) const { return split == Split::train ? train_ : test_; }

  Part train_, test_;
  std::int64_t num_labels_;
};

// 0, 1, ..., num_labels - 1, 0, 1, ...
inline std::vector<std::int64_t> cyclic_labels(std::int64_t size, std::int64_t num_labels) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < size; ++i) labels.push_back(i % num_labels);
  return labels;
}

}  // namespace fedmpi
