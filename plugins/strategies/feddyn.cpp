#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedDyn (Acar et al. 2021, "Federated Learning Based on Dynamic Regularization", algorithm 1): a client minimises
// F_k(w) - <g_k, w> + alpha / 2 |w - w_t|^2, then g_k <- g_k - alpha (w_k - w_t). The server keeps
// h <- h - alpha / N sum(w_k - w_t) and takes w = mean(w_k) - h / alpha. Examples do not count. The client vector is
// g_k.
class FedDyn final : public fedmpi::Strategy {
 public:
  explicit FedDyn(const fedmpi::Options& options) : alpha_{options.get<double>("alpha")} {}

  fedmpi::Exchange exchange() const override { return {.num_client_vectors = 1}; }

  void adjust_gradients(at::Tensor gradients, const fedmpi::ClientFit& fit) const override {
    gradients.sub_(fit.client_vectors[0]).add_(fit.parameters, alpha_).sub_(fit.global, alpha_);
  }
  double weight(const fedmpi::FitRecord&) const override { return 1.0; }
  void finish_fit(at::Tensor updates, fedmpi::ClientFit& fit) const override {
    fit.client_vectors[0].sub_(updates[0], alpha_);
  }

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates,
                 const fedmpi::FitRound& round) override {
    if (!h_.defined()) h_ = at::zeros_like(global);
    const double share = static_cast<double>(round.records.size()) / round.num_clients;
    h_.sub_(mean_updates[0], alpha_ * share);
    global.add_(mean_updates[0]).sub_(h_, 1.0 / alpha_);
  }

  std::vector<fedmpi::NamedTensor> state() const override {
    if (!h_.defined()) return {};
    return {{"h", h_}};
  }
  void restore(std::span<const fedmpi::NamedTensor> state) override {
    h_ = state.empty() ? at::Tensor() : fedmpi::find_state(state, "h");
  }

 private:
  double alpha_;
  at::Tensor h_;
};

constexpr std::array options{
    fedmpi::OptionSpec{"alpha", fedmpi::OptionType::number, "0.01", "of the regularisation, above 0", 1e-12},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedDyn, "feddyn", "1.0", "a regularisation that follows each client's gradients", options)
