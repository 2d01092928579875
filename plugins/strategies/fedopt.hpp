#pragma once

#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

// What FedAdagrad, FedAdam and FedYogi share (Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2):
// m <- beta_1 m + (1 - beta_1) d, v <- their own rule, w <- w + eta m / (sqrt(v) + tau), where d is the mean update and
// v starts at tau^2. compat = "flower": v starts at 0, as in Flower.
class FedOpt : public Strategy {
 public:
  explicit FedOpt(const Options& options)
      : eta_{options.get<double>("eta")},
        tau_{options.get<double>("tau")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const FitRound& round) override {
    const at::Tensor update = mean_updates[0];
    if (!m_.defined()) {
      m_ = at::zeros_like(global);
      v_ = at::full_like(global, starts_at_zero() ? 0.0 : tau_ * tau_);
    }
    advance(m_, v_, update);
    global.addcdiv_(m_, v_.sqrt().add_(tau_), eta_ * correction(round.round));
  }

  std::vector<NamedTensor> state() const override {
    if (!m_.defined()) return {};
    return {{"m", m_}, {"v", v_}};
  }
  void restore(std::span<const NamedTensor> state) override {
    m_ = state.empty() ? at::Tensor() : find_state(state, "m");
    v_ = state.empty() ? at::Tensor() : find_state(state, "v");
  }

 protected:
  bool flower() const { return flower_; }
  virtual bool starts_at_zero() const { return flower_; }
  virtual void advance(at::Tensor& m, at::Tensor& v, const at::Tensor& update) const = 0;
  virtual double correction(int) const { return 1.0; }  // of eta in a round

 private:
  double eta_, tau_;
  bool flower_;
  at::Tensor m_, v_;
};

}  // namespace fedmpi
