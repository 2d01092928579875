#include "conformance_checks.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/strategy.hpp"
#include "made_up_federation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

constexpr int num_rounds = 3;

// Every kind and role a tensor may have, and three slices of parameters.
Layout made_up_layout() {
  return Layout(
      {{.name = "inner.weight", .shape = {350, 400}},
       {.name = "norm.weight", .shape = {400}, .kind = TensorKind::normalization},
       {.name = "norm.mean", .shape = {400}, .role = TensorRole::statistic, .kind = TensorKind::normalization},
       {.name = "head.weight", .shape = {3, 400}, .kind = TensorKind::head},
       {.name = "head.bias", .shape = {3}, .kind = TensorKind::head},
       {.name = "fixed", .shape = {5}, .role = TensorRole::frozen}});
}

class StrategyChecks {
 public:
  explicit StrategyChecks(const Conformance& conformance)
      : plugin_{conformance.plugin},
        job_{conformance.job},
        options_{plugin_options(job_.strategy, plugin_.options(), "strategy", job_)},
        layout_{made_up_layout()} {}

  void exchange() const {
    const Exchange exchange = federation(1).exchange();
    if (exchange.num_server_vectors < 0 || exchange.num_client_vectors < 0 || exchange.num_extra_updates < 0)
      fails("asks for a negative number of vectors or updates");
    if (exchange.aggregation == Aggregation::slices && exchange.num_extra_updates > 0)
      fails("works on slices and has extra updates, which are for sums only");
    if (exchange.aggregation == Aggregation::sum && exchange.products)
      fails("works on sums and asks for products, which are for slices only");
    if (exchange.personal_model && exchange.num_client_vectors == 0)
      fails("has a personal model but no client vector to keep it in");
    if (federation(1).strategy().epochs(job_.training.local_epochs).empty()) fails("trains for no epoch");
  }

  void weights() const {
    const MadeUpFederation one = federation(1);
    for (const std::int64_t examples : {1, 7, 1'000'000}) {
      const FitRecord record{.num_examples = examples,
                             .num_steps = 3,
                             .num_tokens = 5 * examples,
                             .loss = 0.7,
                             .initial_loss = 0.9,
                             .update_norm = 0.1};
      const double weight = one.strategy().weight(record);
      if (!std::isfinite(weight) || weight < 0.0)
        fails("gives a client of {} examples the weight {}: it must be finite and at least 0", examples, weight);
    }
  }

  void finite() const {
    const MadeUpFederation::State state = after(num_rounds, 1);
    if (!at::isfinite(state.global).all().item<bool>() || !at::isfinite(state.server_vectors).all().item<bool>())
      fails("gives parameters that are not finite after {} rounds of small updates", num_rounds);
  }

  void deterministic() const {
    if (const std::string what = difference(after(num_rounds, 1), after(num_rounds, 1)); !what.empty())
      fails("is not deterministic: from the same updates two of its objects made {} different", what);
  }

  void ranks() const {
    const MadeUpFederation::State one = after(num_rounds, 1);
    for (const int ranks : {2, 3})
      if (const std::string what = difference(one, after(num_rounds, ranks)); !what.empty())
        fails(
            "depends on the number of ranks: {} of the same clients on 1 rank and on {} are not the same; keep "
            "nothing of a client in the object",
            what, ranks);
  }

  void threads() const {
    at::set_num_threads(2);
    const MadeUpFederation::State two = after(num_rounds, 1);
    at::set_num_threads(1);
    if (const std::string what = difference(after(num_rounds, 1), two); !what.empty())
      fails("depends on the number of threads: {} on 1 and on 2 threads are not the same", what);
  }

  void state() const {
    MadeUpFederation first = federation(1), second = federation(1);
    MadeUpFederation::State saved = first.save();
    for (int round = 1; round <= num_rounds; ++round) {
      check_storable(saved.strategy);
      second = federation(1);
      second.restore(saved);
      if (const std::string what = difference(saved, second.save()); !what.empty())
        fails("does not restore what it saved: after {} rounds {} came back different", round - 1, what);
      run_round(first, round);
      run_round(second, round);
      if (const std::string what = difference(first.save(), second.save()); !what.empty())
        fails(
            "does not go on as it was after a restart: restored after {} rounds, it makes {} of the next one "
            "different; state() must hold all that aggregate needs",
            round - 1, what);
      saved = first.save();
    }
  }

 private:
  MadeUpFederation federation(int num_ranks) const {
    return MadeUpFederation(job_.training, job_.federation.clients, num_ranks, layout_,
                            [this] { return make<Strategy>(plugin_, options_); });
  }

  // All clients, then all but the first, ...: some have been away when they come back.
  void run_round(MadeUpFederation& federation, int round) const {
    std::vector<std::int64_t> cohort(static_cast<std::size_t>(job_.federation.clients));
    std::iota(cohort.begin(), cohort.end(), 0);
    if (round % 2 == 0 && cohort.size() > 3) cohort.erase(cohort.begin());
    federation.run_round(cohort);
  }

  MadeUpFederation::State after(int rounds, int num_ranks) const {
    MadeUpFederation one = federation(num_ranks);
    for (int round = 1; round <= rounds; ++round) run_round(one, round);
    return one.save();
  }

  // As a checkpoint can hold it.
  static void check_storable(std::span<const NamedTensor> state) {
    std::set<std::string> names;
    for (const auto& [name, tensor] : state) {
      if (name.empty() || name == "." || std::ranges::find(name, '/') != name.end() || name.starts_with("engine."))
        fails("calls a part of its state '{}', which a checkpoint cannot: take another name", name);
      if (!names.insert(name).second) fails("calls two parts of its state '{}'", name);
      constexpr std::array types{at::kFloat, at::kDouble, at::kInt, at::kLong};
      if (!tensor.defined() || std::find(types.begin(), types.end(), tensor.scalar_type()) == types.end())
        fails("has a state '{}' that a checkpoint cannot hold: take float32, float64, int32 or int64", name);
    }
  }

  const Plugin& plugin_;
  const Job& job_;
  Options options_;
  Layout layout_;
};

}  // namespace

void check_strategy(const Conformance& conformance) {
  const StrategyChecks checks(conformance);
  at::set_num_threads(1);
  if (!conformance.check("exchange", [&] { checks.exchange(); })) return;
  conformance.check("weights", [&] { checks.weights(); });
  if (!conformance.check("finite results", [&] { checks.finite(); })) return;
  conformance.check("same results again", [&] { checks.deterministic(); });
  conformance.check("any number of ranks", [&] { checks.ranks(); });
  conformance.check("any number of threads", [&] { checks.threads(); });
  conformance.check("state", [&] { checks.state(); });
}

}  // namespace fedmpi
