#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

enum class Split { train, test };

// What is to be learned of an example: which of num_labels classes it is of, or a number.
enum class Task { classification, regression };

// n examples. Text is packed: all token ids one after another, no padding. Dense data has `features` instead.
struct Batch {
  at::Tensor tokens;    // int32 [total tokens], or undefined
  at::Tensor offsets;   // int64 [n + 1] into tokens, from 0; undefined with features
  at::Tensor features;  // float32 [n, ...], or undefined
  at::Tensor labels;    // int64 [n]; all 0 for regression
  at::Tensor targets;   // float32 [n] for regression, else undefined
};

// Interface of a dataset plugin: examples by index. Every rank makes one and must see the same examples; the
// engine decides which belong to which client. Const functions may be called from any thread.
// Errors: FileError for a file that is missing or broken, ConfigError for an option.
class FEDMPI_API Dataset {
 public:
  static constexpr const char* plugin_kind = "dataset";
  virtual ~Dataset();

  virtual std::int64_t size(Split split) const = 0;
  virtual Task task() const;                                            // classification unless overridden
  virtual std::span<const std::int64_t> labels(Split split) const = 0;  // [size], each in [0, num_labels)
  virtual std::int64_t num_labels() const = 0;                          // 1 for regression

  // What the labels are called, [num_labels], or empty when the dataset does not say: exported models know it. Default:
  // empty.
  virtual std::vector<std::string> label_names() const;

  // How much work an example is (its tokens; 1 for dense data): what schedules and batches are balanced by.
  virtual std::span<const std::int64_t> lengths(Split split) const = 0;  // [size], each >= 1

  // Whose each example is (the number of a user, of a hospital): what "natural_id" partitions go by. [size], or empty
  // when the dataset does not say. Default: empty.
  virtual std::span<const std::int64_t> keys(Split split) const;

  virtual Batch batch(Split split, std::span<const std::int64_t> examples) const = 0;

  // Hash of the content in hexadecimal: equal on all ranks, recorded in checkpoints.
  virtual std::string digest() const = 0;

  // Hash of the vocabulary the tokens were made with, "" when there is none: must equal the model's.
  virtual std::string vocabulary_digest() const;
};

}  // namespace fedmpi
