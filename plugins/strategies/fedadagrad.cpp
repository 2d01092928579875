#include "fedopt.hpp"

#include <array>

namespace {

// FedAdagrad (see fedopt.hpp): beta_1 = 0 and v <- v + d^2.
class FedAdagrad final : public fedmpi::FedOpt {
 public:
  using FedOpt::FedOpt;

 private:
  void advance(at::Tensor& m, at::Tensor& v, const at::Tensor& update) const override {
    m.copy_(update);
    v.addcmul_(update, update);
  }
};

constexpr std::array options{fedmpi::positive_option("eta", "0.1", "the server's learning rate"), fedmpi::tau_option,
                             fedmpi::compat_option};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedAdagrad, "fedadagrad", "1.0", "Adagrad on the server, with the mean update as gradient",
              options)
