// The interfaces' out-of-line members: one vtable and one typeinfo of each in the process, here.
#include "fedmpi/dataset.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/safetensors_writer.hpp"
#include "fedmpi/strategy.hpp"
#include "fedmpi/transport.hpp"

#include <algorithm>
#include <stdexcept>

#include <ATen/ATen.h>

namespace fedmpi {

Dataset::~Dataset() = default;
Task Dataset::task() const {
  return Task::classification;
}
std::vector<std::string> Dataset::label_names() const {
  return {};
}
std::span<const std::int64_t> Dataset::keys(Split) const {
  return {};
}
std::string Dataset::vocabulary_digest() const {
  return {};
}

Model::~Model() = default;
Transport::~Transport() = default;

bool Model::uses_one_thread() const {
  return false;
}

bool Model::runs_on(at::DeviceType device) const {
  return device == at::kCPU;
}
Task Model::task() const {
  return Task::classification;
}
void Model::values_changed() {}
std::string Model::digest() const {
  return {};
}
std::string Model::vocabulary_digest() const {
  return {};
}

std::vector<std::string> Model::export_to(const std::filesystem::path& directory, const at::Tensor& values,
                                          std::span<const std::string>) const {
  std::vector<NamedTensor> tensors;
  for (std::size_t i = 0; i < layout().num_tensors(); ++i)
    tensors.push_back({layout().spec(i).name, layout().view(values, i)});
  write_safetensors(directory / "model.safetensors", tensors);
  return {"model.safetensors"};
}

at::Tensor find_state(std::span<const NamedTensor> state, const std::string& name) {
  const auto found = std::ranges::find(state, name, &NamedTensor::name);
  if (found == state.end()) throw Error("the checkpoint has no '" + name + "' among the strategy's states");
  return found->tensor;
}

Strategy::~Strategy() = default;
void Strategy::prepare(const TrainingSettings&, const Layout&, int) {}
Exchange Strategy::exchange() const {
  return {};
}
TensorRole Strategy::role(const TensorSpec& tensor) const {
  return tensor.role;
}
std::vector<Trained> Strategy::epochs(int local_epochs) const {
  return std::vector<Trained>(static_cast<std::size_t>(local_epochs), Trained::all);
}
void Strategy::adjust_gradients(at::Tensor, const ClientFit&) const {}
void Strategy::adjust_personal_gradients(at::Tensor, const ClientFit&) const {}
double Strategy::weight(const FitRecord& record) const {
  return static_cast<double>(record.num_examples);
}
void Strategy::finish_fit(at::Tensor, ClientFit&) const {}
void Strategy::aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const FitRound&) {
  global.add_(mean_updates[0]);
}
std::vector<std::int64_t> Strategy::compare(const at::Tensor&, const FitRound& round) {
  return all_rows(std::ssize(round.records));
}
void Strategy::aggregate_slice(at::Tensor, at::Tensor, at::Tensor, const FitRound&) const {
  throw std::logic_error("a strategy by slices must define aggregate_slice");
}
std::vector<NamedTensor> Strategy::state() const {
  return {};
}
void Strategy::restore(std::span<const NamedTensor>) {}

}  // namespace fedmpi
