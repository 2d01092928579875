#include "autograd_model.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"

#include <array>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace {

using fedmpi::RandomKey;
using fedmpi::TensorKind;
using fedmpi::TensorSpec;

std::vector<TensorSpec> specs_of(const fedmpi::Options& options) {
  std::vector<std::int64_t> widths{options.get<std::int64_t>("num_features")};
  const auto& hidden = options.get<std::vector<std::int64_t>>("hidden");
  widths.insert(widths.end(), hidden.begin(), hidden.end());
  widths.push_back(options.get<std::int64_t>("num_labels"));
  std::vector<TensorSpec> specs;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    const TensorKind kind = i + 2 == widths.size() ? TensorKind::head : TensorKind::weight;
    specs.push_back({.name = fmt::format("layers.{}.weight", i), .shape = {widths[i + 1], widths[i]}, .kind = kind});
    specs.push_back({.name = fmt::format("layers.{}.bias", i), .shape = {widths[i + 1]}, .kind = kind});
  }
  return specs;
}

// Linear layers with an activation between them. Starts as torch.nn.Linear does: weights and biases are uniform between
// -1/sqrt(inputs) and 1/sqrt(inputs).
class Mlp final : public fedmpi::AutogradModel {
 public:
  explicit Mlp(const fedmpi::Options& options)
      : AutogradModel("mlp", "num_features", {options.get<std::int64_t>("num_features")},
                      options.get<std::int64_t>("num_labels"), fedmpi::Layout(specs_of(options))),
        activation_{options.get<std::string>("activation")},
        dropout_{options.get<double>("dropout")} {}

  void initialize(at::Tensor values, RandomKey key) override {
    values.zero_();
    for (std::size_t i = 0; i < layout().num_tensors(); ++i)
      fill_uniform(layout().view(values, i), fedmpi::default_bound(layout().spec(i / 2 * 2).shape), derive(key, i));
  }

 private:
  at::Tensor forward(const at::Tensor& features, std::optional<RandomKey> dropout) const override {
    at::Tensor out = features;
    const std::size_t num_layers = layout().num_tensors() / 2;
    for (std::size_t i = 0; i < num_layers; ++i) {
      out = linear(out, 2 * i);
      if (i + 1 == num_layers) break;
      out = activated(out);
      if (dropout) out = fedmpi::dropped(out, dropout_, derive(*dropout, i));
    }
    return out;
  }

  at::Tensor activated(const at::Tensor& in) const {
    if (activation_ == "tanh") return in.tanh();
    if (activation_ == "gelu") return at::gelu(in);
    return in.relu();
  }

  std::string activation_;
  double dropout_;
};

using fedmpi::OptionType;
constexpr double any = std::numeric_limits<double>::infinity();
constexpr std::array options{
    fedmpi::OptionSpec{"num_features", OptionType::integer, "20", "numbers in an example", 1, 1e9},
    fedmpi::OptionSpec{"hidden", OptionType::integers, "128", "widths of the hidden layers, from the input on", 1, 1e6},
    fedmpi::OptionSpec{"activation", OptionType::string, "relu", "between the layers", -any, any, "relu|tanh|gelu"},
    fedmpi::OptionSpec{"dropout", OptionType::number, "0", "share of the hidden layers' outputs that is dropped", 0.0,
                       0.99},
    fedmpi::OptionSpec{"num_labels", OptionType::integer, "2", "classes to tell apart; 1: predicts a number", 1, 1e6},
};

}  // namespace

FEDMPI_PLUGIN(Model, Mlp, "mlp", "1.0", "linear layers with activations between them, on dense features", options)
