// Each strategy's server half on numbers that others computed or that can be checked by hand, with the clients dealt to
// one, three and five ranks.
#include "fedmpi/strategy.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fixed_point.hpp"
#include "optimizer.hpp"
#include "slices.hpp"

#include <map>
#include <ranges>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

struct Client {
  std::vector<float> parameters;  // after its fit
  std::int64_t num_examples = 1;
  double loss = 1.0;
};
using Given = std::map<std::string, OptionValue>;

std::unique_ptr<Strategy> make_strategy(const std::string& name, const Given& given) {
  const std::vector<std::filesystem::path> path{FEDMPI_BUILT_PLUGINS};
  const Plugin plugin = load_plugin("strategy", name, path);
  return make<Strategy>(plugin, Options{plugin.options(), given, name});
}

// A server and its rounds, the clients of each dealt to `num_ranks` ranks.
class Server {
 public:
  Server(const std::string& name, const Given& given, std::vector<float> start, int num_ranks)
      : strategy_{make_strategy(name, given)},
        num_ranks_{static_cast<std::size_t>(num_ranks)},
        global_{at::tensor(start)},
        layout_{{{.name = "w", .shape = {global_.numel()}}}} {
    training_.optimizer = OptimizerKind::sgd;
    training_.learning_rate = 0.1;
    strategy_->prepare(training_, layout_, 5);
    exchange_ = strategy_->exchange();
    server_vectors_ = at::zeros({exchange_.num_server_vectors, global_.numel()});
  }

  at::Tensor round(const std::vector<Client>& clients) {
    ++round_;
    std::vector<FitRecord> records;
    std::vector<at::Tensor> updates;
    for (const Client& client : clients) {
      at::Tensor own = at::zeros({1 + exchange_.num_extra_updates, global_.numel()});
      own[0].copy_(at::tensor(client.parameters) - global_);
      FitRecord record{.client = static_cast<std::int64_t>(records.size()),
                       .num_examples = client.num_examples,
                       .num_steps = 1,
                       .loss = client.loss,
                       .initial_loss = client.loss,
                       .update_norm = l2_norm(own[0])};
      record.weight = strategy_->weight(record);
      records.push_back(record);
      updates.push_back(own);
    }
    const FitRound round{.round = round_, .num_clients = 5, .records = records};
    if (exchange_.aggregation == Aggregation::slices)
      by_slices(updates, round);
    else
      by_sums(updates, round);
    return global_.clone();
  }

  Strategy& strategy() { return *strategy_; }

 private:
  void by_sums(const std::vector<at::Tensor>& updates, const FitRound& round) {
    at::Tensor sum;
    double weights = 0.0;
    FixedPointSum total(updates[0].numel());
    total.clear(static_cast<std::int64_t>(updates.size()));
    for (std::size_t rank = 0; rank < num_ranks_; ++rank) {
      FixedPointSum own(updates[0].numel());
      own.clear(static_cast<std::int64_t>(updates.size()));
      for (std::size_t i = rank; i < updates.size(); i += num_ranks_) {
        own.add(std::vector{updates[i]}, round.records[i].weight);
        weights += round.records[i].weight;
      }
      total.sum().add_(own.sum());
    }
    strategy_->aggregate(global_, server_vectors_, total.mean(weights).view(updates[0].sizes()), round);
  }

  // Rank r has the last of the clients first, so that the rows arrive out of order.
  void by_slices(const std::vector<at::Tensor>& updates, const FitRound& round) {
    const at::Tensor old_vectors = server_vectors_.clone();
    std::vector<std::int64_t> chosen = all_rows(std::ssize(updates));
    at::Tensor products;
    for (const bool compares : {true, false}) {
      if (compares && !exchange_.products) continue;
      std::vector<std::vector<std::int64_t>> clients(num_ranks_);
      std::vector<at::Tensor> rows;
      for (std::size_t rank = 0; rank < num_ranks_; ++rank)
        for (const std::int64_t i : std::views::reverse(chosen)) {
          if (static_cast<std::size_t>(i) % num_ranks_ != rank) continue;
          clients[rank].push_back(i);
          rows.push_back(updates[static_cast<std::size_t>(i)][0]);
        }
      const at::Tensor all = at::stack(rows);
      const Slices slices(clients, global_.numel());
      for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn)
        for (std::size_t rank = 0; rank < num_ranks_; ++rank) {
          const Slices::Share share = slices.share(turn, static_cast<int>(rank));
          const at::Tensor received = all.narrow(1, share.begin, share.length).contiguous();
          if (compares) {
            const at::Tensor part = slices.products(received, old_vectors.narrow(1, share.begin, share.length));
            products = products.defined() ? products + part : part;
          } else {
            at::Tensor vectors = server_vectors_.narrow(1, share.begin, share.length).contiguous();
            slices.aggregate(*strategy_, round, received, global_.narrow(0, share.begin, share.length), vectors);
            server_vectors_.narrow(1, share.begin, share.length).copy_(vectors);
          }
        }
      if (compares) chosen = strategy_->compare(products, round);
    }
  }

  std::unique_ptr<Strategy> strategy_;
  std::size_t num_ranks_;
  at::Tensor global_;
  Layout layout_;
  TrainingSettings training_;
  Exchange exchange_;
  at::Tensor server_vectors_;
  int round_ = 0;
};

struct Case {
  std::string name;
  Given given;
  std::vector<float> start;
  std::vector<std::vector<Client>> rounds;
  std::vector<double> expected;  // first element after each round, or all elements after the only one
  double tolerance = 1e-6;
};

const std::string flower = "flower";

std::vector<Client> of(const std::vector<float>& values, std::int64_t num_examples = 1) {
  std::vector<Client> clients;
  for (const float value : values) clients.push_back({{value}, num_examples, 1.0});
  return clients;
}

const std::vector<std::vector<Client>> three_times_0_6(3, of({0.6F}));

// Values of Flower's own tests and, for three rounds of a client mean of 0.6, of its formulas in double precision.
const std::vector<Case> cases{
    {"fedavg", {}, {0, 0, 0}, {{{{1, 2, 3}, 1}, {{1, 2, 3}, 2}}}, {1, 2, 3}},
    {"fedavg", {}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {7.0 / 3.0}},
    {"fedavgm", {{"server_momentum", 0.9}}, {0.1F}, three_times_0_6, {0.6, 1.05, 1.005}},
    {"fedavgm",
     {{"server_learning_rate", 1.0 + 1e-9}},
     {0, 0, 0},
     {{{{1, 2, 3}, 1}, {{29, 23, 19}, 2}}},
     {59.0 / 3.0, 48.0 / 3.0, 41.0 / 3.0},
     1e-5},
    {"fedadagrad", {{"eta", 0.1}, {"tau", 0.5}, {"compat", flower}}, {0.1F}, {of({0.2F, 1.0F}, 5)}, {0.15}},
    {"fedadagrad",
     {{"eta", 0.1}, {"tau", 0.5}, {"compat", flower}},
     {0.1F},
     three_times_0_6,
     {0.15, 0.18837360052304125, 0.22031656311041392}},
    // v starts at tau^2: 0.1 + 0.1 * 0.5 / (sqrt(0.5) + 0.5)
    {"fedadagrad", {{"eta", 0.1}, {"tau", 0.5}}, {0.1F}, {of({0.6F})}, {0.1414213562373095}},
    {"fedadam",
     {{"compat", flower}},
     {0.1F},
     three_times_0_6,
     {0.17279017533367333, 0.256583316568693, 0.34408654429014024}},
    {"fedadam",
     {{"bias_correction", true}},
     {0.1F},
     three_times_0_6,
     {0.19803921568627453, 0.2954158422033269, 0.39063572082753045}},
    // 0.1 + 0.1 * 0.05 / (sqrt(0.99e-6 + 0.01 * 0.25) + 1e-3)
    {"fedadam", {}, {0.1F}, {of({0.6F})}, {0.1980201901}},
    // v = 0 - 0.01 * 0.25 * sign(0 - 0.25): 0.1 + 0.01 * 0.05 / (0.05 + 1e-3)
    {"fedyogi", {{"compat", flower}}, {0.1F}, {of({0.6F})}, {0.109803921569}},
    {"fedprox", {{"proximal_mu", 1.0}}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {7.0 / 3.0}},
    {"qfedavg", {{"q", 0.0}}, {1.0F}, {{{{0.8F}, 1, 0.5}, {{0.4F}, 7, 2.0}}}, {0.6}},
    // L = 10, F = 0.5 and 2: gradients 2 and 6; 1 - (0.5 * 2 + 2 * 6) / (4 + 10 * 0.5 + 36 + 10 * 2)
    {"qfedavg", {{"q", 1.0}}, {1.0F}, {{{{0.8F}, 1, 0.5}, {{0.4F}, 7, 2.0}}}, {1.0 - 13.0 / 65.0}},
    // Weights of 3e-17 and 3e-14.
    {"qfedavg", {{"q", 5.0}}, {0}, {{{{-0.2F}, 1, 0.0005}, {{-0.6F}, 7, 0.002}}}, {0.999933347970457 - 1.0}, 1e-10},
    {"fedmedian", {}, {0}, {of({0.2F, 1.0F, 0.5F})}, {0.5}},
    {"fedmedian",
     {},
     {0, 0, 0, 0},
     {{{{1, .2F, .5F, 1}, 5}, {{.2F, .5F, 1, .2F}, 2}, {{.5F, 1, .2F, .5F}, 9}}},
     {0.5, 0.5, 0.5, 0.5}},
    {"fedmedian", {}, {0}, {of({1.0F, 3.0F, 2.0F, 8.0F})}, {2.5}},
    {"fedtrimmedavg",
     {{"beta", 0.25}},
     {0, 0, 0, 0},
     {{{{.5F, .5F, .5F, .5F}}, {{1, .2F, .5F, 1}}, {{.2F, .5F, 1, .2F}}, {{.5F, 1, .2F, .5F}}}},
     {0.5, 0.5, 0.5, 0.5}},
    {"fedtrimmedavg", {{"beta", 0.25}}, {0}, {of({0.5F, 1.0F, 2.0F, 100.0F})}, {1.5}},
    {"fedtrimmedavg", {}, {0}, {of({0.5F, 1.0F, 2.0F, 100.0F})}, {25.875}},  // int(0.2 * 4) = 0: nothing is cut
    {"krum", {{"num_malicious_clients", std::int64_t{1}}}, {0}, {of({0.2F, 0.7F, 1, 1, 1, 1})}, {1.0}},
    {"krum",
     {{"num_malicious_clients", std::int64_t{1}}, {"compat", flower}},
     {0, 0, 0, 0},
     {{{{.2F, .2F, .2F, .2F}}, {{.7F, .7F, .7F, .7F}}, {{1, 1, 1, 1}}}},
     {0.7, 0.7, 0.7, 0.7}},  // equal scores: the first of them
    {"multikrum",
     {{"num_malicious_clients", std::int64_t{1}}, {"num_nodes_to_select", std::int64_t{2}}, {"compat", flower}},
     {0},
     {of({0.2F, 0.5F, 1.0F}, 5)},
     {0.35}},
    // f = 1, n = 7: Krum gives up 12 and 100; the median of the others is 6, its nearest are 5, 6 and 7.5.
    {"bulyan",
     {{"num_malicious_clients", std::int64_t{1}}},
     {0},
     {of({100.0F, 3.0F, 5.0F, 6.0F, 7.5F, 8.0F, 12.0F})},
     {37.0 / 6.0}},
    {"bulyan",
     {{"num_malicious_clients", std::int64_t{1}}, {"compat", flower}},
     {0},
     {of({100.0F, 3.0F, 5.0F, 6.0F, 7.5F, 8.0F, 12.0F})},
     {37.0 / 6.0}},
    // The middle of three points on a line; one step of Weiszfeld from their mean 4: weights 1/4, 1/2, 1/6.
    {"geometric_median", {{"iterations", std::int64_t{1000}}}, {0}, {of({0.0F, 2.0F, 10.0F})}, {2.0}, 1e-4},
    {"geometric_median", {{"iterations", std::int64_t{1}}}, {0}, {of({0.0F, 2.0F, 10.0F})}, {32.0 / 11.0}},
    // From 0: 1 and -0.5 count as they are, 30 as 2; then around 2.5 / 3.
    {"centered_clipping",
     {{"tau", 2.0}},
     {0},
     {of({1.0F, -0.5F, 30.0F}), {{{1.8333333F}}, {{0.3333333F}}, {{30.8333333F}}}},
     {2.5 / 3.0, 2.5 / 3.0 + (1.0 - 0.5 + 2.5 / 3.0 + 2.0) / 3.0}},
    // Updates divided by 1 step each, times 1.
    {"fednova", {}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {7.0 / 3.0}},
    // h = -0.01 * (2 / 5) * 2 = -0.008; 2 + 0.8
    {"feddyn", {}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {2.8}},
    {"scaffold", {{"server_learning_rate", 0.5}}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {1.0}},
    {"mimelite", {}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {2.0}},
    {"ditto", {}, {0}, {{{{1.0F}, 1}, {{3.0F}, 2}}}, {7.0 / 3.0}},
};

TEST(Strategies, GiveWhatTheirFormulasGive) {
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    std::vector<at::Tensor> on_one_rank;
    for (const int num_ranks : {1, 3, 5}) {
      Server server(one.name, one.given, one.start, num_ranks);
      for (std::size_t i = 0; i < one.rounds.size(); ++i) {
        const at::Tensor got = server.round(one.rounds[i]);
        if (num_ranks == 1) {
          on_one_rank.push_back(got);
          if (one.rounds.size() > 1 || one.expected.size() == 1) {
            EXPECT_NEAR(got[0].item<double>(), one.expected[i], one.tolerance) << "round " << i + 1;
          } else {
            for (std::size_t j = 0; j < one.expected.size(); ++j)
              EXPECT_NEAR(got[static_cast<std::int64_t>(j)].item<double>(), one.expected[j], one.tolerance);
          }
        }
        EXPECT_TRUE(at::equal(got, on_one_rank[i])) << num_ranks << " ranks, round " << i + 1;
      }
    }
  }
}

// More coordinates than a slice has.
TEST(Strategies, ByManySlicesTheBitsDoNotDependOnTheRanks) {
  constexpr std::int64_t size = 300'001;
  std::vector<Client> clients;
  for (int i = 0; i < 11; ++i) {
    const at::Tensor values = at::arange(size, at::kFloat).mul(0.001 * (i + 1)).sin();
    const float* begin = values.const_data_ptr<float>();
    clients.push_back({{begin, begin + size}, 3 + i, 1.0});
  }
  for (const char* name : {"fedmedian", "fedtrimmedavg", "krum", "bulyan", "geometric_median", "centered_clipping"}) {
    SCOPED_TRACE(name);
    at::Tensor first;
    for (const int num_ranks : {1, 3, 5}) {
      Server server(name, {}, std::vector<float>(static_cast<std::size_t>(size), 0.0F), num_ranks);
      const at::Tensor got = server.round(clients);
      if (!first.defined()) first = got;
      EXPECT_TRUE(at::equal(got, first));
    }
  }
}

TEST(Strategies, GoOnFromTheirState) {
  for (const char* name : {"fedavgm", "fedadagrad", "fedadam", "fedyogi", "feddyn"}) {
    SCOPED_TRACE(name);
    const Given given = std::string(name) == "fedavgm" ? Given{{"server_momentum", 0.9}} : Given{};
    Server whole(name, given, {0.1F}, 1), first(name, given, {0.1F}, 1);
    const at::Tensor after_one = first.round(of({0.6F}));
    whole.round(of({0.6F}));
    Server second(name, given, {after_one[0].item<float>()}, 1);
    second.strategy().restore(first.strategy().state());
    const at::Tensor expected = whole.round(of({0.6F}));
    EXPECT_TRUE(at::equal(second.round(of({0.6F})), expected));
  }
}

TEST(Strategies, TooFewClientsIsOneSentence) {
  const std::map<std::string, std::string> needs{{"krum", "needs 5 clients"}, {"bulyan", "needs 7 clients"}};
  for (const auto& [name, sentence] : needs) {
    Server server(name, {{"num_malicious_clients", std::int64_t{1}}}, {0}, 1);
    try {
      server.round(of({0.1F, 0.2F, 0.3F}));
      FAIL() << name << " took three clients";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(sentence), std::string::npos) << error.what();
    }
  }
}

TEST(Strategies, OneLearningRateForAllIsAsked) {
  const Layout layout{{{.name = "body", .shape = {2}}, {.name = "head", .shape = {1}, .learning_rate = 0.5}}};
  TrainingSettings training;
  training.optimizer = OptimizerKind::sgd;
  training.learning_rate = 0.1;
  for (const char* name : {"scaffold", "qfedavg"}) {
    const auto strategy = make_strategy(name, {});
    EXPECT_THROW(strategy->prepare(training, layout, 5), UserError) << name;
    EXPECT_NO_THROW(strategy->prepare(training, Layout{{{.name = "body", .shape = {2}}}}, 5)) << name;
  }
}

TEST(Strategies, OptionsOutsideTheirFormulasAreRefused) {
  EXPECT_THROW(make_strategy("fedadam", {{"beta_1", 1.0}}), UserError);
  EXPECT_THROW(make_strategy("fedyogi", {{"beta_2", 1.0}}), UserError);
  EXPECT_THROW(make_strategy("fedavgm", {{"server_momentum", 1.0}}), UserError);
  EXPECT_THROW(make_strategy("fedadam", {{"tau", 0.0}}), UserError);
}

}  // namespace
}  // namespace fedmpi
