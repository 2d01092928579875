// One source, many plugins: each is good but for what its definitions change.
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

namespace {

class Idle final : public fedmpi::Strategy {
 public:
  explicit Idle(const fedmpi::Options& options) {
    if (options.get<bool>("throw")) throw std::runtime_error("the constructor did not like it");
    if (options.get<bool>("refuse")) throw fedmpi::UserError("asked to refuse");
  }
  void aggregate(at::Tensor, at::Tensor, const at::Tensor&, const fedmpi::FitRound&) override {}
};

constexpr std::array idle_options{
    fedmpi::OptionSpec{"throw", fedmpi::OptionType::boolean, "false", "fail in the constructor"},
    fedmpi::OptionSpec{"refuse", fedmpi::OptionType::boolean, "false", "refuse in the constructor"},
    fedmpi::OptionSpec{OPTION_NAME, fedmpi::OptionType::number, OPTION_DEFAULT, "of no use", 0.0, 1.0},
};

std::unique_ptr<fedmpi::Strategy> make_idle(const fedmpi::Options& options) {
  return std::make_unique<Idle>(options);
}

}  // namespace

extern "C" FEDMPI_API const fedmpi::PluginInfo fedmpi_plugin{ABI,
                                                             SIZE,
                                                             STAMP,
                                                             "strategy",
                                                             NAME,
                                                             "1.0",
                                                             "does nothing",
                                                             std::data(idle_options),
                                                             std::size(idle_options),
                                                             reinterpret_cast<fedmpi::AnyFactory>(&make_idle)};
