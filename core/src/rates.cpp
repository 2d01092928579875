#include "rates.hpp"

#include "fedmpi/error.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr double least_share = 0.5;  // of the time for samples, even for small jobs
constexpr int most_dropped = 20;
constexpr double slow_seconds = 0.1;                           // of a block of evaluation
constexpr double group_seconds = 0.25, at_once_seconds = 1.0;  // of work that is done at once: each time, and in all
constexpr std::size_t least_samples = 2, enough_samples = 400;

// Passes through Host::fit, which takes an exception of the standard for a client's failure.
struct EnoughMeasured {};

// 0 .. count - 1 over and over, each next one far from those before it.
class Scattered {
 public:
  explicit Scattered(std::size_t count) : count_{count} {}
  std::size_t next() {
    constexpr double golden = 0.6180339887498949;
    place_ += golden;
    place_ -= static_cast<double>(static_cast<std::int64_t>(place_));
    return std::min(count_ - 1, static_cast<std::size_t>(place_ * static_cast<double>(count_)));
  }

 private:
  std::size_t count_;
  double place_ = 0.0;
};

bool is_enough(const Stopwatch& stopwatch, std::size_t num_samples, double seconds) {
  return (stopwatch.seconds() > seconds && num_samples >= least_samples) ||
         (num_samples >= enough_samples && stopwatch.seconds() > least_share * seconds);
}

// One client's fit as it was seen from outside.
struct SeenFit {
  double seconds, between_steps;  // of all of it; from the end of the first step to that of the last
  std::int64_t first_tokens, cost;
};

}  // namespace

RateMeasurement::RateMeasurement(Experiment& experiment, const Partition& partition, const FederatedState& state,
                                 MeasuringTime time)
    : experiment_{experiment},
      partition_{partition},
      state_{state},
      shortened_{.train = std::vector<std::vector<std::int64_t>>(partition.train.size()), .test = {}, .central = {}},
      host_{experiment, shortened_, state.clients},
      time_{time} {
  host_.set_at_once(1);
}

void RateMeasurement::evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> mine) {
  if (mine.empty()) return;
  const auto seconds_of = [&](std::span<const std::size_t> chosen) {
    const Stopwatch own;
    host_.evaluate(blocks, chosen, state_.global);
    return own.seconds();
  };
  const Stopwatch since_start;
  const auto costliest = std::ranges::max_element(blocks, {}, &EvaluationBlock::cost);
  const std::size_t largest[] = {static_cast<std::size_t>(costliest - blocks.begin())};
  const double largest_seconds = seconds_of(largest);
  const bool is_slow = largest_seconds > slow_seconds;
  Scattered order(mine.size());
  // What comes before the first block, the loading of the parameters, is the same for one block and for two. Beside
  // slow blocks it is nothing.
  if (!is_slow) {
    std::vector<double> before_first;
    for (int i = 0; i < 3; ++i) {
      const std::size_t block = mine[order.next()], twice[] = {block, block};
      const double one = seconds_of(std::span(twice).first(1)), two = seconds_of(twice);
      before_first.push_back(std::max(0.0, 2.0 * one - two));
    }
    std::ranges::sort(before_first);
    rates_.load_seconds = before_first[1];
  }

  std::vector<Sample> samples;
  const Stopwatch stopwatch;
  while (!is_enough(stopwatch, samples.size(), time_.evaluate_seconds)) {
    is_cut_short_ = since_start.seconds() > time_.most_evaluate_seconds;
    if (is_cut_short_) break;
    const std::size_t block = mine[order.next()], twice[] = {block, block};
    const std::size_t times = is_slow ? 1 : 2;
    const double seconds = seconds_of(std::span(twice).first(times)) - rates_.load_seconds;
    samples.push_back({.units = static_cast<double>(blocks[block].cost),
                       .seconds = std::max(0.0, seconds) / static_cast<double>(times)});
  }
  if (samples.empty()) samples.push_back({.units = static_cast<double>(costliest->cost), .seconds = largest_seconds});
  rates_.block = fit_line(samples);

  const std::size_t at_once = std::min(host_.most_at_once(), mine.size());
  rates_.at_once = static_cast<double>(host_.most_at_once());
  if (at_once < 2 || is_cut_short_) return;
  std::vector<std::size_t> some;
  double alone = 0.0;  // what they would take
  while (some.size() < at_once || (alone < group_seconds && some.size() < enough_samples)) {
    some.push_back(mine[order.next()]);
    alone += rates_.block.at(static_cast<double>(blocks[some.back()].cost));
  }
  rates_.evaluate_speedup = speedup([&] { return alone; }, [&] { return seconds_of(some) - rates_.load_seconds; });
}

// How much sooner work is done at once. Each does it and says how long it took, or, `alone`, how long all would take.
double RateMeasurement::speedup(const std::function<double()>& alone, const std::function<double()>& at_once) {
  double seconds_alone = 0.0, seconds = 0.0;
  host_.set_at_once(host_.most_at_once());
  at_once();  // the first takes memory
  const Stopwatch stopwatch;
  do {
    host_.set_at_once(1);
    seconds_alone += alone();
    host_.set_at_once(host_.most_at_once());
    seconds += at_once();
  } while (stopwatch.seconds() < at_once_seconds);
  host_.set_at_once(1);
  return seconds > 0.0 ? std::clamp(seconds_alone / seconds, 1.0, rates_.at_once) : rates_.at_once;
}

// The job may well say that some are dropped.
void RateMeasurement::check_fitted() {
  const auto& failures = host_.outcome().failures;
  if (failures.empty()) return;
  const bool drops = experiment_.job.federation.on_client_failure == FailurePolicy::drop;
  if (drops && ++num_dropped_ < most_dropped) return;
  throw UserError(
      fmt::format("client {} failed when its first examples were tried: {}", failures[0].client, failures[0].message));
}

// A batch of the longest examples that one client has, and how long its step took; nothing where that failed and may.
std::optional<Sample> RateMeasurement::fit_longest_batch(int round) {
  const auto lengths = experiment_.dataset->lengths(Split::train);
  const auto length = [&](std::int64_t example) { return lengths[static_cast<std::size_t>(example)]; };
  std::int64_t longest = -1, client = 0;
  std::vector<std::int64_t> chosen;
  for (std::size_t i = 0; i < partition_.train.size(); ++i) {
    std::vector<std::int64_t> own = partition_.train[i];
    const auto size = std::min(own.size(), static_cast<std::size_t>(experiment_.job.training.batch_size));
    std::partial_sort(
        own.begin(), own.begin() + static_cast<std::ptrdiff_t>(size), own.end(),
        [&](std::int64_t a, std::int64_t b) { return std::pair(-length(a), a) < std::pair(-length(b), b); });
    own.resize(size);
    const std::int64_t tokens = std::transform_reduce(own.begin(), own.end(), std::int64_t{0}, std::plus<>(), length);
    if (tokens > longest) {
      longest = tokens;
      client = static_cast<std::int64_t>(i);
      chosen = std::move(own);
    }
  }
  shortened_.train[static_cast<std::size_t>(client)] = chosen;
  host_.begin_round(round, 1);
  const std::vector<std::int64_t> only{client};
  // The end of a fit takes memory too. What follows one step of several would take time.
  const bool is_whole = experiment_.strategy->epochs(experiment_.job.training.local_epochs).size() == 1;
  std::optional<Sample> longest_step;
  const Stopwatch stopwatch;
  try {
    host_.fit(only, state_.global, state_.server_vectors, [&](std::int64_t tokens) {
      if (!longest_step) longest_step = {.units = static_cast<double>(tokens), .seconds = stopwatch.seconds()};
      if (!is_whole) throw EnoughMeasured{};
    });
  } catch (const EnoughMeasured&) {
  }
  check_fitted();
  return longest_step;
}

// Two whole batches and half of one: what a smaller batch costs shows too.
void RateMeasurement::shorten(std::int64_t client) {
  const auto& whole = partition_.train[static_cast<std::size_t>(client)];
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(experiment_.job.training.batch_size * 5 / 2, 1));
  shortened_.train[static_cast<std::size_t>(client)].assign(
      whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(std::min(whole.size(), wanted)));
}

void RateMeasurement::fit(std::span<const std::int64_t> clients, int round,
                          const std::function<void(std::int64_t)>& advance) {
  if (clients.empty()) return;
  const Stopwatch since_start;
  const std::optional<Sample> longest = fit_longest_batch(round);
  std::vector<Sample> steps;
  std::vector<SeenFit> fits;
  const auto is_over = [&] {
    return since_start.seconds() > time_.most_fit_seconds && (longest || !steps.empty() || !fits.empty());
  };
  Scattered order(clients.size());
  const Stopwatch stopwatch;
  while (!is_enough(stopwatch, std::max(steps.size(), fits.size()), time_.fit_seconds)) {
    if (is_over()) {
      is_cut_short_ = true;
      break;
    }
    const std::vector<std::int64_t> only{clients[order.next()]};
    shorten(only[0]);
    host_.begin_round(round, 1);
    SeenFit seen{.seconds = 0.0, .between_steps = 0.0, .first_tokens = -1, .cost = 0};
    const Stopwatch own;
    double last = 0.0;
    try {
      host_.fit(only, state_.global, state_.server_vectors, [&](std::int64_t tokens) {
        advance(tokens);
        const double now = own.seconds();
        if (seen.first_tokens < 0) {
          seen.first_tokens = tokens;
        } else {
          steps.push_back({.units = static_cast<double>(tokens), .seconds = now - last});
          seen.between_steps += now - last;
        }
        last = now;
        const bool is_enough = stopwatch.seconds() > 2 * time_.fit_seconds && steps.size() >= least_samples;
        if (is_enough || is_over()) throw EnoughMeasured{};
      });
      seen.seconds = own.seconds();
      if (!host_.outcome().failures.empty()) {
        check_fitted();
        continue;
      }
      for (const std::int64_t cost : training_costs(shortened_, *experiment_.dataset, only)) seen.cost = cost;
      fits.push_back(seen);
    } catch (const EnoughMeasured&) {
    }
  }
  if (steps.empty() && fits.empty()) steps.push_back(*longest);
  rates_.step = fit_line(steps);

  // Whatever a fit took besides its steps. Where all have one step it cannot be told apart, nor need it.
  const Exchange exchange = experiment_.strategy->exchange();
  std::vector<Sample> besides;
  for (const SeenFit& seen : fits) {
    double seconds = seen.seconds - seen.between_steps - rates_.step.at(static_cast<double>(seen.first_tokens));
    if (steps.empty()) seconds = seen.seconds;
    const auto cost = static_cast<double>(seen.cost);
    if (exchange.global_gradient) seconds -= rates_.step.per_unit * cost;
    if (exchange.initial_loss) seconds -= rates_.block.per_unit * cost;
    besides.push_back({.units = steps.empty() ? cost : 0.0, .seconds = std::max(0.0, seconds)});
  }
  rates_.client = fit_line(besides);
  if (!steps.empty() && !besides.empty())
    rates_.client = {.fixed = std::transform_reduce(besides.begin(), besides.end(), 0.0, std::plus<>(),
                                                    [](const Sample& one) { return one.seconds; }) /
                              static_cast<double>(besides.size()),
                     .per_unit = 0.0};
  has_fitted_ = true;
  if (host_.most_at_once() > 1 && clients.size() > 1)
    fit_at_once(clients, fits.empty() ? 0.0 : fits.back().seconds, round);
}

// `seconds`: of one client, shortened; 0: there was no time for one.
void RateMeasurement::fit_at_once(std::span<const std::int64_t> clients, double seconds, int round) {
  rates_.at_once = static_cast<double>(host_.most_at_once());
  is_cut_short_ = is_cut_short_ || seconds == 0.0 || 3.0 * seconds > time_.most_fit_seconds;
  if (is_cut_short_) return;
  const std::size_t at_once = std::min(host_.most_at_once(), clients.size());
  const auto turns = static_cast<std::size_t>(std::max(1.0, group_seconds / seconds));
  std::vector<std::int64_t> some(
      clients.begin(), clients.begin() + static_cast<std::ptrdiff_t>(std::min(turns * at_once, clients.size())));
  for (const std::int64_t client : some) shorten(client);
  const auto seconds_of = [&](std::span<const std::int64_t> chosen) {
    host_.begin_round(round, static_cast<int>(chosen.size()));
    const Stopwatch stopwatch;
    host_.fit(chosen, state_.global, state_.server_vectors, [](std::int64_t) {});
    return stopwatch.seconds();
  };
  const auto cost_of = [&](std::span<const std::int64_t> chosen) {
    const auto costs = training_costs(shortened_, *experiment_.dataset, chosen);
    return static_cast<double>(std::accumulate(costs.begin(), costs.end(), std::int64_t{0}));
  };
  const auto few = std::span(some).first(std::min(turns, some.size()));
  const double share = cost_of(few) / cost_of(some);
  rates_.fit_speedup = speedup([&] { return seconds_of(few) / share; }, [&] { return seconds_of(some); });
}

}  // namespace fedmpi
