#include "script_module.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <mutex>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

namespace fedmpi {
namespace {

constexpr std::size_t longest_reason = 300;

// What is wrong, without the interpreter's trace of where it was.
std::string reason(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  if (text.starts_with("The following operation failed in the TorchScript interpreter")) {
    const auto place = text.rfind("Error: ");
    if (place != std::string::npos) text = text.substr(place + 7);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = text.substr(0, std::min(text.find("\n\n"), longest_reason));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

torch::jit::Module load(const std::filesystem::path& path) {
  try {
    return torch::jit::load(path.string(), at::kCPU);
  } catch (const std::exception& error) {
    const std::string why = reason(error);
    throw FileError(fmt::format("{} is no TorchScript module that can be read here ({}): save one from Python with "
                                "torch.jit.script(module).save(path)",
                                path.string(), why.substr(0, why.find(". "))),
                    path);
  }
}

bool is_normalization(const torch::jit::Module& module) {
  const auto name = module.type()->name();
  return name && name->name().find("Norm") != std::string::npos;
}

bool is_plain(const c10::IValue& value) {
  return value.isNone() || value.isInt() || value.isDouble() || value.isBool() || value.isString();
}

bool is_container(const c10::IValue& value) {
  return value.isList() || value.isTuple() || value.isGenericDict();
}

}  // namespace

ScriptModule::ScriptModule(const std::filesystem::path& path) : module_{load(path)} {
  for (const auto& [prefix, module] : module_.named_modules()) find_tensors(path, module, prefix);
}

void ScriptModule::find_tensors(const std::filesystem::path& path, const torch::jit::Module& module,
                                const std::string& prefix) {
  const auto object = module._ivalue();
  const auto type = object->type();
  const TensorKind kind = is_normalization(module) ? TensorKind::normalization : TensorKind::weight;
  for (std::size_t i = 0; i < type->numAttributes(); ++i) {
    const Slot slot{object, i};
    const std::string attribute = type->getAttributeName(i);
    const bool is_tensor = slot.get().isTensor() && slot.get().toTensor().defined();
    const bool is_parameter = is_tensor && type->is_parameter(i);
    const bool is_statistic =
        is_tensor && !is_parameter && type->is_buffer(i) && at::isFloatingType(slot.get().toTensor().scalar_type());
    if (is_parameter || is_statistic) {
      const bool trained = is_parameter && slot.get().toTensor().requires_grad();
      add(path, prefix.empty() ? attribute : prefix + "." + attribute, slot,
          {.role = is_statistic ? TensorRole::statistic
                   : trained    ? TensorRole::shared
                                : TensorRole::frozen,
           .kind = kind});
    } else if (attribute != "training") {
      keep(slot);
    }
  }
}

void ScriptModule::add(const std::filesystem::path& path, const std::string& name, const Slot& slot, TensorSpec spec) {
  const at::Tensor tensor = slot.get().toTensor();
  for (Bound& other : bound_) {
    if (other.tensor.is_same(tensor)) return other.slots.push_back(slot);
  }
  if (tensor.scalar_type() != at::kFloat || tensor.layout() != at::kStrided)
    throw FileError(
        fmt::format("{}: '{}' is {}, but only dense float32 can be trained: convert the module with .float() "
                    "before it is scripted",
                    path.string(), name, c10::toString(tensor.scalar_type())),
        path);
  spec.name = name;
  spec.shape = tensor.sizes().vec();
  specs_.push_back(std::move(spec));
  bound_.push_back({tensor, {slot}});
}

// Modules and what cannot be copied are left out.
void ScriptModule::keep(const Slot& slot) {
  const c10::IValue& value = slot.get();
  if (value.isTensor() && value.toTensor().defined())
    kept_.push_back({slot, value.toTensor().detach().clone()});
  else if (is_plain(value) || is_container(value))
    kept_.push_back({slot, value.deepcopy()});
}

void ScriptModule::restore() {
  for (Kept& kept : kept_) {
    if (is_plain(kept.at_start)) {
      kept.slot.set(kept.at_start);
    } else if (is_container(kept.at_start)) {
      kept.slot.set(kept.at_start.deepcopy());
    } else if (const c10::IValue& now = kept.slot.get();
               !now.isTensor() || !now.toTensor().is_same(kept.in_use) || kept.in_use._version() != kept.version) {
      kept.in_use = kept.at_start.toTensor().clone();
      kept.version = kept.in_use._version();
      kept.slot.set(kept.in_use);
    }
  }
}

// A module may write to a buffer or put another tensor in its place.
void ScriptModule::take_back_replaced() {
  const at::NoGradGuard no_gradients;
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    for (const Slot& slot : bound_[i].slots) {
      if (slot.get().isTensor() && slot.get().toTensor().is_same(bound_[i].tensor)) continue;
      if (!slot.get().isTensor() || slot.get().toTensor().sizes() != bound_[i].tensor.sizes())
        throw Error(fmt::format("the module gives '{}' another shape or type", specs_[i].name));
      bound_[i].tensor.copy_(slot.get().toTensor());
      slot.set(bound_[i].tensor);
    }
  }
}

at::Tensor ScriptModule::tensor(std::size_t index) const {
  return bound_[index].tensor;
}

void ScriptModule::bind(std::size_t index, const at::Tensor& tensor) {
  bound_[index].tensor = tensor;
  for (const Slot& slot : bound_[index].slots) slot.set(tensor);
}

void ScriptModule::save(const std::filesystem::path& path) const {
  try {
    module_.save(path.string());
  } catch (const std::exception& error) {
    throw Error(fmt::format("{} could not be written: {}", path.string(), reason(error)));
  }
}

c10::IValue ScriptModule::call(std::vector<c10::IValue> inputs, bool training, std::uint64_t seed) {
  // The optimizing executor measures the first calls and changes the program, and its rounding, for those that follow.
  const torch::jit::GraphOptimizerEnabledGuard as_written(false);
  restore();
  if (training != is_training_) module_.train(training);
  is_training_ = training;
  {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_current_seed(seed);
  }
  c10::IValue result;
  try {
    result = module_.forward(std::move(inputs));
  } catch (const std::exception& error) {
    throw Error(reason(error));
  }
  take_back_replaced();
  return result;
}

}  // namespace fedmpi
