#pragma once

#include "fedmpi/layout.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

namespace fedmpi {

// A TorchScript module whose parameters and floating-point buffers may lie elsewhere. Whatever else it keeps (integer
// buffers such as num_batches_tracked, numbers, lists) is the same at the start of each call as it was in the file:
// what a call gives depends on the tensors and its inputs alone. Main thread only.
class ScriptModule {
 public:
  // FileError: it cannot be read, is no TorchScript, or keeps floating-point numbers that are not float32.
  explicit ScriptModule(const std::filesystem::path& path);

  // Parameters (frozen where they were saved with requires_grad = False) and floating-point buffers (statistic) under
  // their names in state_dict; one that has several names has the first. Normalization is what lies in a module whose
  // class has "Norm" in its name.
  const std::vector<TensorSpec>& specs() const { return specs_; }
  at::Tensor tensor(std::size_t index) const;
  // From now on the module uses `tensor`, for a statistic also to write to.
  void bind(std::size_t index, const at::Tensor& tensor);

  // As torch.jit.load opens it, and in the mode that it is in. Error when the file cannot be written.
  void save(const std::filesystem::path& path) const;

  // Its forward, in training or evaluation mode. Dropout and other random numbers are a function of `seed`. Error, one
  // sentence, when it throws.
  c10::IValue call(std::vector<c10::IValue> inputs, bool training, std::uint64_t seed);

 private:
  struct Slot {
    c10::intrusive_ptr<c10::ivalue::Object> object;
    std::size_t number;
    const c10::IValue& get() const { return object->getSlot(number); }
    void set(c10::IValue value) const { object->setSlot(number, std::move(value)); }
  };
  struct Bound {
    at::Tensor tensor;
    std::vector<Slot> slots;  // several where modules share it
  };
  struct Kept {
    Slot slot;
    c10::IValue at_start;
    at::Tensor in_use;          // a copy of it, if it is a tensor,
    std::int64_t version = -1;  // which is raised whenever it is written to
  };
  void find_tensors(const std::filesystem::path& path, const torch::jit::Module& module, const std::string& prefix);
  void add(const std::filesystem::path& path, const std::string& name, const Slot& slot, TensorSpec spec);
  void keep(const Slot& slot);
  void restore();
  void take_back_replaced();

  torch::jit::Module module_;
  std::vector<TensorSpec> specs_;
  std::vector<Bound> bound_;  // as specs_
  std::vector<Kept> kept_;
  std::optional<bool> is_training_;
};

}  // namespace fedmpi
