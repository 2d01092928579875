#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

namespace {

// FedBN (Li et al. 2021, "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", algorithm 1):
// FedAvg of all but the normalisation layers, which stay with each client.
class FedBn final : public fedmpi::Strategy {
 public:
  explicit FedBn(const fedmpi::Options&) {}

  void prepare(const fedmpi::TrainingSettings&, const fedmpi::Layout& layout, int) override {
    if (layout.trainable_size() == layout.shared_size())
      throw fedmpi::UserError(
          "the strategy 'fedbn' keeps normalisation layers with each client, but the model trains none");
  }
  fedmpi::TensorRole role(const fedmpi::TensorSpec& tensor) const override {
    return tensor.kind == fedmpi::TensorKind::normalization ? fedmpi::TensorRole::local : tensor.role;
  }
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedBn, "fedbn", "1.0", "FedAvg of all but the normalisation layers, which stay local", options)
