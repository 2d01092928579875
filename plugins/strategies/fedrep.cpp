#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

namespace {

// FedRep (Collins et al. 2021, "Exploiting Shared Representations for Personalized Federated Learning", algorithm 1):
// the head stays with each client, which fits it for head_epochs with the shared layers fixed, then the shared layers
// for training.local_epochs with the head fixed; FedAvg of the shared layers.
class FedRep final : public fedmpi::Strategy {
 public:
  explicit FedRep(const fedmpi::Options& options) : head_epochs_{options.get<std::int64_t>("head_epochs")} {}

  void prepare(const fedmpi::TrainingSettings&, const fedmpi::Layout& layout, int) override {
    if (layout.trainable_size() == layout.shared_size())
      throw fedmpi::UserError(
          "the strategy 'fedrep' keeps the head with each client, but the model does not say which of its tensors are "
          "its head");
  }
  fedmpi::TensorRole role(const fedmpi::TensorSpec& tensor) const override {
    return tensor.kind == fedmpi::TensorKind::head ? fedmpi::TensorRole::local : tensor.role;
  }
  std::vector<fedmpi::Trained> epochs(int local_epochs) const override {
    std::vector<fedmpi::Trained> epochs(static_cast<std::size_t>(head_epochs_), fedmpi::Trained::local);
    epochs.insert(epochs.end(), static_cast<std::size_t>(local_epochs), fedmpi::Trained::shared);
    return epochs;
  }

 private:
  std::int64_t head_epochs_;
};

constexpr std::array options{
    fedmpi::OptionSpec{"head_epochs", fedmpi::OptionType::integer, "10", "passes that fit the head alone", 0, 1e6},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedRep, "fedrep", "1.0", "local heads, fitted before the shared layers", options)
