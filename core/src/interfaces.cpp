// The interfaces' out-of-line members: one vtable and one typeinfo of each in the process, here.
#include "fedmpi/dataset.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/strategy.hpp"

namespace fedmpi {

Dataset::~Dataset() = default;
std::string Dataset::vocabulary_digest() const {
  return {};
}

Model::~Model() = default;
void Model::values_changed() {}
std::string Model::digest() const {
  return {};
}
std::string Model::vocabulary_digest() const {
  return {};
}

Strategy::~Strategy() = default;
void Strategy::adjust_gradients(at::Tensor, const at::Tensor&, const at::Tensor&) const {}
double Strategy::weight(const FitRecord& record) const {
  return static_cast<double>(record.num_examples);
}
void Strategy::transform_update(at::Tensor, const FitRecord&) const {}
std::vector<NamedTensor> Strategy::state() const {
  return {};
}
void Strategy::restore(std::span<const NamedTensor>) {}

}  // namespace fedmpi
