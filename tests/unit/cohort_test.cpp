#include "cohort.hpp"

#include "fedmpi/error.hpp"
#include "rule_choice.hpp"
#include "temporary_directory.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Clients = std::vector<std::int64_t>;

RandomKey key_of(int round) {
  return random_key(42, Purpose::sample_clients, round);
}

Job job_of(int clients, const std::vector<std::string>& settings) {
  const std::string text = "[run]\nname = \"a\"\n[federation]\nclients = " + std::to_string(clients) +
                           "\n[model]\nname = \"m\"\n[data]\nname = \"d\"\n";
  Job job = parse_job(text, "a.toml", settings);
  load_rule_files(job);
  return job;
}

// Client c has c + 1 train examples.
Partition growing_partition(int clients) {
  Partition partition;
  for (int client = 0; client < clients; ++client) partition.train.emplace_back(static_cast<std::size_t>(client + 1));
  return partition;
}

void expect_ascending(const Clients& clients) {
  EXPECT_TRUE(std::ranges::is_sorted(clients, std::ranges::less_equal{}));
}

TEST(Poisson, ChoosesEachClientOnItsOwn) {
  constexpr int num_clients = 20, num_rounds = 20'000;
  constexpr double probability = 0.3;
  std::array<int, num_clients> chosen{};
  int both = 0;
  double squares = 0.0;
  for (int round = 0; round < num_rounds; ++round) {
    const auto cohort = poisson_cohort(num_clients, probability, 0, key_of(round));
    EXPECT_TRUE(std::ranges::is_sorted(cohort));
    for (const std::int64_t client : cohort) ++chosen[static_cast<std::size_t>(client)];
    both += std::ranges::binary_search(cohort, 3) && std::ranges::binary_search(cohort, 4) ? 1 : 0;
    squares += std::pow(static_cast<double>(cohort.size()) - num_clients * probability, 2);
  }
  for (const int count : chosen) EXPECT_NEAR(count, num_rounds * probability, 325);  // five standard deviations
  EXPECT_NEAR(both, num_rounds * 0.09, 203);
  EXPECT_NEAR(squares / num_rounds, num_clients * 0.3 * 0.7, 0.25);  // the size is binomial
}

TEST(Poisson, IsToppedUpByThoseNearest) {
  for (int round = 0; round < 200; ++round) {
    const auto few = poisson_cohort(50, 0.02, 3, key_of(round)), more = poisson_cohort(50, 0.2, 3, key_of(round));
    EXPECT_GE(few.size(), 3U);
    EXPECT_TRUE(std::ranges::includes(more, few));
    EXPECT_EQ(few, poisson_cohort(50, 0.02, 3, key_of(round)));
  }
  EXPECT_EQ(poisson_cohort(5, 1.0, 2, key_of(1)), (Clients{0, 1, 2, 3, 4}));
}

// Of weights 1, 2 and 7: who is first, and who is among two, by the formula of drawing without replacement.
TEST(Weighted, DrawsWithoutReplacement) {
  const std::array weights{1.0, 2.0, 7.0};
  constexpr int num_draws = 50'000;
  std::array<int, 3> first{}, among{};
  for (int i = 0; i < num_draws; ++i) {
    for (const std::int64_t client : weighted_cohort(weights, 1, key_of(i))) ++first[static_cast<std::size_t>(client)];
    const auto two = weighted_cohort(weights, 2, key_of(i));
    expect_ascending(two);
    for (const std::int64_t client : two) ++among[static_cast<std::size_t>(client)];
  }
  const std::array one_of_one{0.1, 0.2, 0.7};
  const std::array one_of_two{0.1 + 0.2 * 1 / 8 + 0.7 * 1 / 3, 0.2 + 0.1 * 2 / 9 + 0.7 * 2 / 3,
                              0.7 + 0.1 * 7 / 9 + 0.2 * 7 / 8};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(first[i] / double{num_draws}, one_of_one[i], 0.011);  // five standard deviations
    EXPECT_NEAR(among[i] / double{num_draws}, one_of_two[i], 0.011);
  }
  EXPECT_EQ(weighted_cohort(weights, 3, key_of(1)), (Clients{0, 1, 2}));
}

TEST(Window, GoesRound) {
  EXPECT_EQ(window_cohort(5, 2, 0), (Clients{0, 1}));
  EXPECT_EQ(window_cohort(5, 2, 1), (Clients{0, 1}));
  EXPECT_EQ(window_cohort(5, 2, 2), (Clients{2, 3}));
  EXPECT_EQ(window_cohort(5, 2, 3), (Clients{0, 4}));
  EXPECT_EQ(window_cohort(5, 2, 4), (Clients{1, 2}));
  EXPECT_EQ(window_cohort(5, 5, 7), (Clients{0, 1, 2, 3, 4}));
}

TEST(Cohorts, UniformIsTheDefault) {
  const Job job = job_of(100, {"federation.fraction_fit=0.29", "federation.fraction_evaluate=0.05"});
  const Cohorts cohorts(job, growing_partition(100));
  for (int round = 1; round < 5; ++round) {
    EXPECT_EQ(cohorts.fit(round), sample_cohort(100, 28, key_of(round)));
    EXPECT_EQ(cohorts.evaluate(round), sample_cohort(100, 5, derive(key_of(round), 1)));
  }
}

class EverySampling : public testing::TestWithParam<const char*> {};

TEST_P(EverySampling, IsAFunctionOfSeedAndRound) {
  const std::vector<std::string> settings{std::string{"federation.sampling="} + GetParam(),
                                          "federation.fraction_fit=0.4", "federation.fraction_evaluate=0.2"};
  const Job job = job_of(30, settings), same = job_of(30, settings);
  std::vector<std::string> of_seed = settings;
  of_seed.emplace_back("run.seed=7");
  const Job other = job_of(30, of_seed);
  const Partition partition = growing_partition(30);
  const Cohorts one(job, partition), two(same, partition), three(other, partition);
  bool rounds_differ = false, seeds_differ = false, phases_differ = false;
  for (int round = 1; round <= 10; ++round) {
    const auto fit = one.fit(round), evaluate = one.evaluate(round);
    expect_ascending(fit);
    EXPECT_GE(fit.size(), 2U);
    EXPECT_EQ(fit, two.fit(round));
    EXPECT_EQ(evaluate, two.evaluate(round));
    rounds_differ = rounds_differ || fit != one.fit(round + 1);
    seeds_differ = seeds_differ || fit != three.fit(round);
    phases_differ = phases_differ || !std::ranges::includes(fit, evaluate);
  }
  EXPECT_TRUE(rounds_differ);
  EXPECT_EQ(seeds_differ, GetParam() != std::string_view{"round_robin"});
  EXPECT_TRUE(phases_differ);
}

INSTANTIATE_TEST_SUITE_P(Rules, EverySampling, testing::Values("uniform", "poisson", "weighted", "round_robin"));

TEST(Cohorts, FixedTakesItsListForBoth) {
  const Job job = job_of(6, {"federation.sampling={ name = \"fixed\", clients = [4, 0, 2] }"});
  const Cohorts cohorts(job, growing_partition(6));
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(cohorts.fit(round), (Clients{0, 2, 4}));
    EXPECT_EQ(cohorts.evaluate(round), (Clients{0, 2, 4}));
  }
}

TEST(Cohorts, NobodyEvaluatesWhereTheFractionIsZero) {
  for (const char* sampling :
       {"uniform", "poisson", "weighted", "round_robin", "{ name = \"fixed\", clients = [1] }"}) {
    const Job job = job_of(6, {std::string{"federation.sampling="} + sampling, "federation.fraction_evaluate=0",
                               "evaluation.federated=false"});
    EXPECT_TRUE(Cohorts(job, growing_partition(6)).evaluate(1).empty()) << sampling;
  }
}

TEST(Cohorts, WeightedGoesByTrainExamples) {
  const Job job =
      job_of(4, {"federation.sampling=weighted", "federation.fraction_fit=0.25", "federation.min_fit_clients=1"});
  const Cohorts cohorts(job, growing_partition(4));
  std::array<int, 4> chosen{};
  for (int round = 1; round <= 10'000; ++round) ++chosen[static_cast<std::size_t>(cohorts.fit(round).at(0))];
  for (int client = 0; client < 4; ++client)
    EXPECT_NEAR(chosen[static_cast<std::size_t>(client)], 1000 * (client + 1), 250);  // five standard deviations
}

class Trace : public testing::Test {
 protected:
  std::string path() const { return (directory_ / "trace.json").string(); }
  Job job(const std::string& text, std::vector<std::string> settings = {}) const {
    write_bytes(directory_ / "trace.json", text);
    settings.push_back("federation.sampling={ name = \"trace\", file = \"" + path() + "\" }");
    return job_of(5, settings);
  }
  std::string error(const std::string& text, const std::vector<std::string>& settings = {}) const {
    const Job traced = job(text, settings);
    try {
      Cohorts(traced, growing_partition(5));
    } catch (const FileError& error) {
      return std::string{error.what()}.substr(path().size() + 2);
    }
    return "no error";
  }
  TemporaryDirectory directory_;
};

constexpr const char* by_round = R"({"rounds": [[2, 0], [1, 2, 3, 4], [0, 4, 1]]})";
constexpr const char* by_client = R"({"clients": [[[1, 1], [3, 3]], [[2, 3]], [[1, 2]], [[2, 2]], [[2, 3]]]})";

TEST_F(Trace, BothFormsSayTheSame) {
  for (const char* text : {by_round, by_client}) {
    const Job traced = job(text);
    const Cohorts cohorts(traced, growing_partition(5));
    EXPECT_EQ(cohorts.fit(1), (Clients{0, 2}));
    EXPECT_EQ(cohorts.fit(2), (Clients{1, 2, 3, 4}));
    EXPECT_EQ(cohorts.fit(3), (Clients{0, 1, 4}));
    EXPECT_EQ(cohorts.evaluate(0), (Clients{0, 2}));
    EXPECT_EQ(cohorts.evaluate(2), (Clients{1, 2, 3, 4}));
  }
}

TEST_F(Trace, ChoosesAmongThoseWhoAreThere) {
  std::string rounds = "[1, 2, 4]";
  for (int i = 1; i < 3000; ++i) rounds += ", [1, 2, 4]";
  const Job traced = job("{\"rounds\": [" + rounds + "]}",
                         {"run.rounds=3000", "federation.fraction_fit=0.4", "federation.fraction_evaluate=0.4"});
  const Cohorts cohorts(traced, growing_partition(5));
  std::array<int, 5> chosen{};
  for (int round = 1; round <= 3000; ++round) {
    const auto cohort = cohorts.fit(round);
    EXPECT_EQ(cohort.size(), 2U);
    for (const std::int64_t client : cohort) ++chosen[static_cast<std::size_t>(client)];
  }
  EXPECT_EQ(chosen[0] + chosen[3], 0);
  for (const int client : {1, 2, 4}) EXPECT_NEAR(chosen[static_cast<std::size_t>(client)], 2000, 130);
}

TEST_F(Trace, TooFewClientsIsSaidAtOnce) {
  const std::vector<std::string> four_rounds{"run.rounds=4"};
  EXPECT_EQ(error(by_round, four_rounds), "says who is there in 3 rounds, but run.rounds is 4");
  EXPECT_EQ(error(by_client, four_rounds), "has 0 clients in round 4, but federation.min_fit_clients is 2");
  EXPECT_EQ(error(by_round, {"federation.min_fit_clients=3"}),
            "has 2 clients in round 1, but federation.min_fit_clients is 3");
  const char* late = R"({"rounds": [[0, 1, 2], [0], [0, 1]]})";
  EXPECT_EQ(error(late), "has 1 client in round 2, but federation.min_fit_clients is 2");
  EXPECT_EQ(error(late, {"run.rounds=1"}), "no error");
  EXPECT_EQ(error(late, {"federation.min_fit_clients=1"}),
            "has 1 client in round 2, but federation.min_evaluate_clients is 2");
  // Nobody evaluates after round 2 of 3 then.
  EXPECT_EQ(error(late, {"federation.min_fit_clients=1", "evaluation.every=3"}), "no error");
  EXPECT_EQ(error(late, {"federation.min_fit_clients=1", "evaluation.federated=false"}), "no error");
  EXPECT_EQ(error(late, {"federation.min_fit_clients=1", "evaluation.every=3", "run.rounds=2"}),
            "has 1 client in round 2, but federation.min_evaluate_clients is 2");
  const char* gap = R"({"clients": [[[2, 9]], [[2, 9]], [], [], []]})";
  EXPECT_EQ(error(gap), "has 0 clients in round 1, but federation.min_fit_clients is 2");
}

TEST_F(Trace, SaysWhatIsNotUnderstood) {
  EXPECT_EQ(error(R"({"rounds": [[0, 5], [0, 1], [0, 1]]})"), "the clients of round 1: 5 is outside 0..4");
  EXPECT_EQ(error(R"({"rounds": [[0, 1], [0, 1, 0], [0, 1]]})"), "the clients of round 2: 0 stands there twice");
  EXPECT_EQ(error(R"({"rounds": [[0, 1], 3, [0, 1]]})"), "the clients of round 2 must be a list");
  EXPECT_EQ(error(R"({"clients": [[[1, 2]]]})"), "has stays of 1 clients, but federation.clients is 5");
  EXPECT_EQ(error(R"({"clients": [[[1, 2], [2, 3]], [], [], [], []]})"),
            "the stays of client 0: [2, 3] must begin after round 2 and not end before it begins");
  EXPECT_EQ(error(R"({"clients": [[[3, 2]], [], [], [], []]})"),
            "the stays of client 0: [3, 2] must begin after round 0 and not end before it begins");
  EXPECT_EQ(error(R"({"clients": [[[1]], [], [], [], []]})"),
            "the stays of client 0: each of them must be a list of its first and its last round");
  EXPECT_EQ(error(R"({"clients": [[1, 2], [], [], [], []]})"), "the stays of client 0: each of them must be a list");
  EXPECT_EQ(error(R"({"clients": [[[1, 4e9]], [], [], [], []]})"),
            "the stays of client 0: 4000000000.0 is not a whole number");
  EXPECT_EQ(error("{}"), "has both \"rounds\" and \"clients\", or neither: it must have one of them");
  EXPECT_EQ(error(R"({"round": []})"), "has a \"round\"; it may have \"rounds\" and \"clients\"");
}

}  // namespace
}  // namespace fedmpi
