#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/random.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The dtype of the large products; parameters, gradients and sums are float32 with either.
enum class Precision { float32, bf16 };

// Sums over the examples of a batch.
struct BatchResult {
  double loss_sum = 0.0;
  std::int64_t num_examples = 0;
};

// Interface of a model plugin. The model is its flat buffer: the engine owns the values and gradients, the model
// keeps views, found by the layout's indices: where a tensor lies changes with its role. One instance a rank, used from
// the main thread, or several where uses_one_thread says so; it may use at::parallel_for inside, and its results must
// not depend on the number of threads, nor on what was computed before.
class FEDMPI_API Model {
 public:
  static constexpr const char* plugin_kind = "model";
  virtual ~Model();

  virtual const Layout& layout() const = 0;

  // Takes layout().with_roles(...) for its own, where the run wants other tensors shared, local or frozen than the
  // model proposes. Called at most once, before anything below but task and num_labels. UserError for roles that it
  // cannot have.
  virtual void set_layout(Layout layout) = 0;

  // Whether it can be bound to buffers on such a device: the CPU alone unless overridden.
  virtual bool runs_on(at::DeviceType device) const;

  // Whether a step keeps one thread busy and no more, however many there are. On the CPU a rank then fits several
  // clients, and evaluates several batches, at the same time, each on a thread of its own with an object of its own:
  // these must have nothing in common that one of them changes. False unless overridden.
  virtual bool uses_one_thread() const;

  virtual Task task() const;                    // classification unless overridden
  virtual std::int64_t num_labels() const = 0;  // 1 for regression

  // Throws UserError when it cannot take such examples: features instead of text, more tokens than it has positions,
  // a token it does not know. Called with every example of a run before the run writes anything.
  virtual void check(const Batch& batch) const = 0;

  // Writes the starting values (pre-trained where the model has them) to `values`, float32 [layout().size()].
  // Random ones are a function of `key` alone.
  virtual void initialize(at::Tensor values, RandomKey key) = 0;

  // Called once, before fit and evaluate. float32, contiguous, on one device: values [layout().size()],
  // gradients [layout().trainable_size()]. Both outlive the model's use. Batches and predictions are on the CPU.
  virtual void bind(at::Tensor values, at::Tensor gradients, Precision precision) = 0;

  // The engine changed the values (a broadcast, an optimizer step): drop whatever was derived from them. Frozen tensors
  // do not change any more once the model was fitted.
  virtual void values_changed();

  // One training step's forward and backward. Sets the gradients to that of the *mean* loss over the batch, whatever
  // they were, and changes the values of statistics. Dropout is a function of `key`.
  virtual BatchResult fit(const Batch& batch, RandomKey key) = 0;

  // Forward only, no dropout; changes nothing. An example's result must not depend on the other examples of the batch
  // by more than rounding. Writes what it takes each example for to `predictions`, contiguous: int64 [n], each in
  // [0, num_labels), for regression float32 [n]; a model that knows its loss alone leaves them as they are.
  virtual BatchResult evaluate(const Batch& batch, at::Tensor predictions) = 0;

  // Hash of what else than its options and its layout makes the model (a configuration file), "" when nothing does:
  // equal on all ranks, recorded in checkpoints.
  virtual std::string digest() const;

  // Hash of the vocabulary the model was trained with, "" when it has none.
  virtual std::string vocabulary_digest() const;

  // Writes the model with these values, float32 [layout().size()], to files in `directory`, which is empty, in the form
  // that other programs know such a model in. Returns their names; the last is that of the file without which the
  // others are no model. `label_names`: what the labels 0, 1, ... are called, as far as that is known. May be called
  // before bind. UserError for a model that has no such form. Default: model.safetensors, every tensor under its name
  // in the layout.
  virtual std::vector<std::string> export_to(const std::filesystem::path& directory, const at::Tensor& values,
                                             std::span<const std::string> label_names) const;
};

}  // namespace fedmpi
