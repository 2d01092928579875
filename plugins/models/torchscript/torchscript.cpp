#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/plugin.hpp"
#include "outputs.hpp"
#include "script_module.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace {

using fedmpi::Batch;
using fedmpi::BatchResult;
using fedmpi::FileError;
using fedmpi::ScriptModule;
using fedmpi::TensorRole;
using fedmpi::TensorSpec;
using fedmpi::UserError;

constexpr std::uint64_t evaluation_seed = 0;  // for modules that draw numbers even then

// A module that was saved from Python by torch.jit.script or torch.jit.trace. Its parameters and floating-point buffers
// are the model's, under their names in state_dict; integer buffers (num_batches_tracked) are what they are in the file
// throughout. It computes in float32 and on one thread: what a module's operators give must not depend on how many
// there are. A traced module is as it was traced, with dropout or without.
class TorchScript final : public fedmpi::Model {
 public:
  explicit TorchScript(const fedmpi::Options& options)
      : path_{options.get<std::string>("path")},
        digest_{fedmpi::digest_file(path_)},
        module_{std::make_unique<ScriptModule>(path_)},
        num_labels_{options.get<std::int64_t>("num_labels")},
        returns_loss_{options.get<std::string>("loss") == "module"},
        pad_token_{options.get<std::int64_t>("pad_token")} {
    if (options.has("input_shape")) input_shape_ = options.get<std::vector<std::int64_t>>("input_shape");
    if (fedmpi::Layout(module_->specs()).shared_parameters_size() == 0)
      throw FileError(fmt::format("{} has no parameters to train: was it made by torch.jit.freeze, or are all without "
                                  "requires_grad?",
                                  path_.string()),
                      path_);
    std::vector<std::string> head;
    if (options.has("head")) head = options.get<std::vector<std::string>>("head");
    layout_ = fedmpi::Layout(specs_with_head(head));
  }

  const fedmpi::Layout& layout() const override { return layout_; }
  void set_layout(fedmpi::Layout layout) override { layout_ = std::move(layout); }
  fedmpi::Task task() const override {
    return is_regression() ? fedmpi::Task::regression : fedmpi::Task::classification;
  }
  std::int64_t num_labels() const override { return num_labels_; }
  std::string digest() const override { return digest_; }

  void check(const Batch& batch) const override {
    fedmpi::check_labels(batch, num_labels_, "torchscript");
    const Batch few = first_examples(batch, 2);
    std::vector<c10::IValue> inputs = inputs_of(few);
    if (std::exchange(was_tried_, true)) return;
    const std::vector<at::Tensor> before = statistics();
    try {
      run(std::move(inputs), few, false, evaluation_seed);
    } catch (const fedmpi::Error& error) {
      throw UserError(fmt::format("the module in {} cannot be used on this data: {}", path_.string(), error.what()));
    }
    refuse_changes(before);
  }

  void initialize(at::Tensor values, fedmpi::RandomKey) override {
    const ScriptModule in_file = module_in_file();
    const at::NoGradGuard no_gradients;
    values.zero_();
    for (std::size_t i = 0; i < layout_.num_tensors(); ++i) layout_.view(values, i).copy_(in_file.tensor(i));
  }

  void bind(at::Tensor values, at::Tensor gradients, fedmpi::Precision) override {
    gradients_ = gradients;
    frozen_statistics_.clear();
    for (std::size_t i = 0; i < layout_.num_tensors(); ++i) {
      // A view in autograd's eyes too would take a statistic's change for a change of every parameter.
      at::Tensor tensor = layout_.view(values, i).variable_data();
      if (layout_.has_gradient(i)) {
        tensor.requires_grad_();
        tensor.mutable_grad() = layout_.gradient_view(gradients, i);
      } else if (is_statistic(i) && layout_.spec(i).role == TensorRole::frozen) {
        frozen_statistics_.push_back({tensor, tensor.clone()});
        tensor = frozen_statistics_.back().copy;
      }
      module_->bind(i, tensor);
    }
  }

  // Though a step has one thread, uses_one_thread stays false: scripts draw from the process's only generator.
  BatchResult fit(const Batch& batch, fedmpi::RandomKey key) override {
    const fedmpi::OneThread one_thread;
    for (const FrozenStatistic& one : frozen_statistics_) one.copy.copy_(one.value);
    const Outcome outcome = run(inputs_of(batch), batch, true, key.value);
    if (!outcome.loss.requires_grad())
      throw fedmpi::Error("the module's loss does not depend on any parameter that is trained");
    gradients_.zero_();
    outcome.loss.backward();
    return outcome.result;
  }

  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override {
    const fedmpi::OneThread one_thread;
    for (const FrozenStatistic& one : frozen_statistics_) one.copy.copy_(one.value);
    const Outcome outcome = run(inputs_of(batch), batch, false, evaluation_seed);
    if (outcome.outputs.defined()) fedmpi::predict(outcome.outputs, batch, predictions);
    return outcome.result;
  }

  std::vector<std::string> export_to(const std::filesystem::path& directory, const at::Tensor& values,
                                     std::span<const std::string>) const override {
    const ScriptModule module = module_in_file();
    const at::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < layout_.num_tensors(); ++i) module.tensor(i).copy_(layout_.view(values, i));
    module.save(directory / "model.pt");
    return {"model.pt"};
  }

 private:
  struct Outcome {
    at::Tensor loss;     // where it was asked to train
    at::Tensor outputs;  // undefined where the module gives its loss alone
    BatchResult result;
  };
  // The module gets a copy, which it may change.
  struct FrozenStatistic {
    at::Tensor value, copy;
  };

  // As it was saved: module_'s tensors are the engine's once it is bound.
  ScriptModule module_in_file() const {
    ScriptModule module(path_);
    if (fedmpi::digest_file(path_) != digest_)
      throw FileError(fmt::format("{} was changed while it was in use", path_.string()), path_);
    return module;
  }

  std::vector<at::Tensor> statistics() const {
    std::vector<at::Tensor> copies(layout_.num_tensors());
    for (std::size_t i = 0; i < copies.size(); ++i)
      if (is_statistic(i)) copies[i] = module_->tensor(i).clone();
    return copies;
  }

  // One example's result would depend on those that were evaluated before it.
  void refuse_changes(const std::vector<at::Tensor>& before) const {
    for (std::size_t i = 0; i < before.size(); ++i)
      if (before[i].defined() && !before[i].equal(module_->tensor(i)))
        throw UserError(
            fmt::format("the module in {} changes its buffer '{}' in evaluation mode: was it traced in "
                        "training mode? save it with torch.jit.script, or trace it after .eval()",
                        path_.string(), layout_.spec(i).name));
  }

  bool is_statistic(std::size_t index) const { return module_->specs()[index].role == TensorRole::statistic; }

  std::vector<TensorSpec> specs_with_head(const std::vector<std::string>& head) const {
    std::vector<TensorSpec> specs = module_->specs();
    for (const std::string& part : head) {
      bool found = false;
      for (TensorSpec& spec : specs) {
        if (spec.name != part && !spec.name.starts_with(part + ".")) continue;
        spec.kind = fedmpi::TensorKind::head;
        found = true;
      }
      if (!found)
        throw UserError(
            fmt::format("model.head names '{}', but no tensor of the module in {} is called so or lies in "
                        "a part that is",
                        part, path_.string()));
    }
    return specs;
  }

  static Batch first_examples(const Batch& batch, std::int64_t most) {
    const std::int64_t count = std::min(most, batch.labels.size(0));
    Batch few{.labels = batch.labels.narrow(0, 0, count)};
    if (batch.targets.defined()) few.targets = batch.targets.narrow(0, 0, count);
    if (batch.features.defined()) {
      few.features = batch.features.narrow(0, 0, count);
    } else {
      few.offsets = batch.offsets.narrow(0, 0, count + 1);
      few.tokens = batch.tokens.narrow(0, 0, few.offsets[count].item<std::int64_t>());
    }
    return few;
  }

  std::vector<c10::IValue> inputs_of(const Batch& batch) const {
    if (!batch.features.defined()) {
      if (!input_shape_.empty())
        throw UserError("model.input_shape is for features, but the dataset has text: leave it out");
      return padded(batch);
    }
    if (input_shape_.empty()) return {batch.features};
    std::int64_t size = 1;
    for (const std::int64_t length : input_shape_) size *= length;
    const at::IntArrayRef own_shape = batch.features.sizes().slice(1);
    // Images whose channels come last have as many numbers.
    const bool fits = own_shape.size() == 1 ? own_shape[0] == size : own_shape == at::IntArrayRef(input_shape_);
    if (!fits)
      throw UserError(fmt::format("model.input_shape is [{}], but an example of the dataset has the shape [{}]",
                                  fmt::join(input_shape_, ", "), fmt::join(own_shape, ", ")));
    std::vector<std::int64_t> shape{batch.features.size(0)};
    shape.insert(shape.end(), input_shape_.begin(), input_shape_.end());
    return {batch.features.reshape(shape)};
  }

  // Token ids and attention mask, int64 [n, longest].
  std::vector<c10::IValue> padded(const Batch& batch) const {
    const auto offsets = batch.offsets.accessor<std::int64_t, 1>();
    const std::int64_t count = batch.offsets.size(0) - 1;
    std::int64_t longest = 0;
    for (std::int64_t i = 0; i < count; ++i) longest = std::max(longest, offsets[i + 1] - offsets[i]);
    const at::Tensor ids = at::full({count, longest}, pad_token_, at::kLong),
                     mask = at::zeros({count, longest}, at::kLong);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t length = offsets[i + 1] - offsets[i];
      ids[i].narrow(0, 0, length).copy_(batch.tokens.narrow(0, offsets[i], length));
      mask[i].narrow(0, 0, length).fill_(1);
    }
    return {ids, mask};
  }

  // Error where the module does not return what `loss` says.
  Outcome run(std::vector<c10::IValue> inputs, const Batch& batch, bool training, std::uint64_t seed) const {
    const fedmpi::OneThread one_thread;
    const at::AutoGradMode gradients(training);
    if (!returns_loss_) {
      const at::Tensor outputs = outputs_in(module_->call(std::move(inputs), training, seed), batch);
      return {training ? fedmpi::mean_loss(outputs, batch) : at::Tensor(), outputs, fedmpi::score(outputs, batch)};
    }
    inputs.emplace_back(is_regression() ? batch.targets : batch.labels);
    const c10::IValue output = module_->call(std::move(inputs), training, seed);
    const bool has_outputs = output.isTuple() && output.toTupleRef().elements().size() == 2;
    const c10::IValue loss = has_outputs ? output.toTupleRef().elements()[0] : output;
    if (!loss.isTensor() || loss.toTensor().numel() != 1 || !at::isFloatingType(loss.toTensor().scalar_type()))
      throw fedmpi::Error("with model.loss = \"module\" it must return the loss, one number, or (loss, outputs)");
    BatchResult result{.num_examples = batch.labels.size(0)};
    result.loss_sum = loss.toTensor().item<double>() * static_cast<double>(result.num_examples);
    return {loss.toTensor(), has_outputs ? outputs_in(output.toTupleRef().elements()[1], batch) : at::Tensor(), result};
  }

  bool is_regression() const { return num_labels_ == 1; }

  at::Tensor outputs_in(const c10::IValue& output, const Batch& batch) const {
    const std::int64_t num_examples = batch.labels.size(0);
    const bool is_tensor = output.isTensor() && output.toTensor().scalar_type() == at::kFloat;
    const at::Tensor outputs = is_tensor ? output.toTensor() : at::Tensor();
    if (is_regression()) {
      if (!is_tensor || outputs.dim() > 2 || outputs.size(0) != num_examples || outputs.numel() != num_examples)
        throw fedmpi::Error(
            "with model.num_labels = 1 it must return a prediction for each example, a float32 tensor "
            "[examples] or [examples, 1]");
      return outputs;
    }
    if (!is_tensor || outputs.dim() != 2 || outputs.size(0) != num_examples)
      throw fedmpi::Error("it must return logits, a float32 tensor [examples, labels]");
    if (outputs.size(1) != num_labels_)
      throw fedmpi::Error(
          fmt::format("it returns {} logits an example, but model.num_labels is {}: set "
                      "model.num_labels = {}",
                      outputs.size(1), num_labels_, outputs.size(1)));
    return outputs;
  }

  std::filesystem::path path_;
  std::string digest_;  // of the file as it was when this was made
  std::unique_ptr<ScriptModule> module_;
  std::int64_t num_labels_;
  bool returns_loss_;
  std::int64_t pad_token_;
  std::vector<std::int64_t> input_shape_;  // empty: as the dataset gives them
  fedmpi::Layout layout_;
  at::Tensor gradients_;
  std::vector<FrozenStatistic> frozen_statistics_;
  mutable bool was_tried_ = false;
};

using fedmpi::OptionType;
constexpr double any = std::numeric_limits<double>::infinity();
constexpr std::array options{
    fedmpi::OptionSpec{"path", OptionType::string, nullptr, "file that torch.jit.script(module).save(path) wrote"},
    fedmpi::OptionSpec{
        "loss", OptionType::string, "standard",
        "standard: the module returns logits (cross entropy), or with num_labels = 1 predictions (squared "
        "error); module: it takes the labels, or what is to be predicted, as its last input and returns "
        "the mean loss, or (loss, logits or predictions)",
        -any, any, "standard|module"},
    fedmpi::OptionSpec{"num_labels", OptionType::integer, "2", "classes to tell apart; 1: predicts a number", 1, 1e6},
    fedmpi::OptionSpec{"input_shape", OptionType::integers, "",
                       "shape of an example, such as [3, 32, 32], for datasets that give it as one row", 1, 1e9},
    fedmpi::OptionSpec{"head", OptionType::strings, "",
                       "modules that are the head, such as [\"fc\"], for strategies that keep it with the client"},
    fedmpi::OptionSpec{"pad_token", OptionType::integer, "0",
                       "for text: what fills the rectangle of token ids that comes before the attention mask", 0, 1e9},
};

}  // namespace

FEDMPI_PLUGIN(Model, TorchScript, "torchscript", "1.0", "a TorchScript module saved from Python", options)
