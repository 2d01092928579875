// One source, many plugins: each is good but for what its definitions change.
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>
#include <csignal>
#include <stdexcept>

namespace {

class Idle final : public fedmpi::Strategy {
 public:
  explicit Idle(const fedmpi::Options& options)
      : throws_in_round_{options.get<std::int64_t>("throw_in_round")}, crashes_{options.get<bool>("crash")} {
    if (options.get<bool>("throw")) throw std::runtime_error("the constructor did not like it");
    if (options.get<bool>("refuse")) throw fedmpi::UserError("asked to refuse");
  }
  void aggregate(at::Tensor, at::Tensor, const at::Tensor&, const fedmpi::FitRound& round) override {
    if (round.round == throws_in_round_) throw std::runtime_error("aggregate did not like it");
    if (crashes_) std::raise(SIGSEGV);
  }

 private:
  std::int64_t throws_in_round_;
  bool crashes_;
};

constexpr std::array idle_options{
    fedmpi::OptionSpec{"throw", fedmpi::OptionType::boolean, "false", "fail in the constructor"},
    fedmpi::OptionSpec{"refuse", fedmpi::OptionType::boolean, "false", "refuse in the constructor"},
    fedmpi::OptionSpec{OPTION_NAME, fedmpi::OptionType::number, OPTION_DEFAULT, "of no use", 0.0, 1.0},
    fedmpi::OptionSpec{"throw_in_round", fedmpi::OptionType::integer, "0", "fail in aggregate, of this round alone", 0},
    fedmpi::OptionSpec{"crash", fedmpi::OptionType::boolean, "false", "crash in aggregate"},
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
