#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

namespace {

// FedPer (Arivazhagan et al. 2019, "Federated Learning with Personalization Layers", algorithms 1 and 2): FedAvg of the
// base layers; the head stays with each client.
class FedPer final : public fedmpi::Strategy {
 public:
  explicit FedPer(const fedmpi::Options&) {}

  void prepare(const fedmpi::TrainingSettings&, const fedmpi::Layout& layout, int) override {
    if (layout.trainable_size() == layout.shared_size())
      throw fedmpi::UserError(
          "the strategy 'fedper' keeps the head with each client, but the model does not say which of its tensors are "
          "its head");
  }
  fedmpi::TensorRole role(const fedmpi::TensorSpec& tensor) const override {
    return tensor.kind == fedmpi::TensorKind::head ? fedmpi::TensorRole::local : tensor.role;
  }
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedPer, "fedper", "1.0", "FedAvg of all but the head, which stays local", options)
