#include "partition.hpp"

#include "fedmpi/error.hpp"
#include "labelled_examples.hpp"
#include "partition_statistics.hpp"
#include "rule_choice.hpp"
#include "temporary_directory.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

using Parts = std::vector<std::vector<std::int64_t>>;

Job job_of(int clients, const std::string& partition, std::vector<std::string> settings = {}) {
  const std::string text = "[run]\nname = \"a\"\n[federation]\nclients = " + std::to_string(clients) +
                           "\n[model]\nname = \"m\"\n[data]\nname = \"d\"\npartition = " + partition + "\n";
  Job job = parse_job(text, "a.toml", settings);
  load_rule_files(job);
  return job;
}

Partition divide(const Dataset& dataset, int clients, const std::string& partition,
                 std::vector<std::string> settings = {}) {
  return make_partition(job_of(clients, partition, std::move(settings)), dataset);
}

std::string error_of(const Dataset& dataset, int clients, const std::string& partition,
                     const std::vector<std::string>& settings = {}) {
  try {
    divide(dataset, clients, partition, settings);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

// An error's sentence up to a point.
#define EXPECT_BEGINS(text, beginning) EXPECT_TRUE((text).starts_with(beginning)) << (text)

std::vector<std::int64_t> sizes(const Parts& parts) {
  std::vector<std::int64_t> result;
  for (const auto& part : parts) result.push_back(std::ssize(part));
  return result;
}

std::vector<std::int64_t> sorted_sizes(const Parts& parts) {
  auto result = sizes(parts);
  std::ranges::sort(result);
  return result;
}

// [client][label]
Parts label_counts(const Parts& parts, const Dataset& dataset, Split split) {
  Parts counts;
  for (const auto& part : parts) {
    counts.emplace_back(static_cast<std::size_t>(dataset.num_labels()));
    for (const std::int64_t example : part)
      ++counts.back()[static_cast<std::size_t>(dataset.labels(split)[static_cast<std::size_t>(example)])];
  }
  return counts;
}

std::set<std::int64_t> labels_of(const std::vector<std::int64_t>& part, const Dataset& dataset) {
  std::set<std::int64_t> labels;
  for (const std::int64_t example : part)
    labels.insert(dataset.labels(Split::train)[static_cast<std::size_t>(example)]);
  return labels;
}

std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  return values;
}

void expect_disjoint(const Parts& parts, std::int64_t size) {
  std::set<std::int64_t> seen;
  for (const auto& part : parts) {
    for (const std::int64_t example : part) {
      EXPECT_TRUE(seen.insert(example).second) << example << " is there twice";
      EXPECT_TRUE(example >= 0 && example < size) << example;
    }
  }
}

class EveryRule : public testing::TestWithParam<const char*> {
 protected:
  EveryRule() : dataset{cyclic_labels(1003, 10), cyclic_labels(507, 10), 10} {
    std::vector<std::int64_t> train, test;
    for (std::int64_t i = 0; i < 1003; ++i) train.push_back(100 + i * i % 8);
    for (std::int64_t i = 0; i < 507; ++i) test.push_back(100 + i % 9);
    dataset.set_keys(train, test);
  }
  int clients() const { return std::string_view{GetParam()}.find("natural") == std::string_view::npos ? 8 : 3; }
  LabelledExamples dataset;
};

TEST_P(EveryRule, GivesEachExampleToOneClientAtMostAndEachClientSome) {
  const Partition partition = divide(dataset, clients(), GetParam());
  ASSERT_EQ(std::ssize(partition.train), clients());
  ASSERT_EQ(std::ssize(partition.test), clients());
  expect_disjoint(partition.train, 1003);
  expect_disjoint(partition.test, 507);
  for (const auto& part : partition.train) EXPECT_FALSE(part.empty());
  EXPECT_EQ(partition.central.size(), 507U);
}

TEST_P(EveryRule, IsAFunctionOfTheSeed) {
  const Partition one = divide(dataset, clients(), GetParam()), same = divide(dataset, clients(), GetParam());
  EXPECT_EQ(one.train, same.train);
  EXPECT_EQ(one.test, same.test);
  const Partition other = divide(dataset, clients(), GetParam(), {"run.seed=43"});
  EXPECT_NE(one.train, other.train);
  EXPECT_NE(one.test, other.test);
}

TEST_P(EveryRule, UsesAtMostSoManyOfEach) {
  const Partition whole = divide(dataset, clients(), GetParam());
  const Partition first =
      divide(dataset, clients(), GetParam(), {"data.train_examples_per_client=30", "data.test_examples_per_client=5"});
  for (std::size_t client = 0; client < whole.train.size(); ++client) {
    EXPECT_EQ(first.train[client].size(), std::min<std::size_t>(whole.train[client].size(), 30));
    EXPECT_TRUE(
        std::ranges::equal(first.train[client], std::span(whole.train[client]).first(first.train[client].size())));
    EXPECT_EQ(first.test[client].size(), std::min<std::size_t>(whole.test[client].size(), 5));
  }
}

TEST_P(EveryRule, HasNoTestPartsWithoutFederatedEvaluation) {
  EXPECT_TRUE(divide(dataset, clients(), GetParam(), {"evaluation.federated=false"}).test.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Rules, EveryRule,
    testing::Values("\"linear\"", "\"square\"",
                    "{ name = \"sizes\", partition_sizes = [100, 90, 80, 70, 60, 50, 40, 35] }",
                    "{ name = \"dirichlet\", alpha = 0.5 }",
                    "{ name = \"dirichlet\", alpha = [1, 2, 3, 4, 1, 2, 3, 4], self_balancing = true }",
                    "{ name = \"inner_dirichlet\", alpha = 0.5, partition_sizes = 120 }",
                    "{ name = \"pathological\", num_classes_per_partition = 2 }",
                    "{ name = \"pathological\", num_classes_per_partition = 3, class_assignment_mode = "
                    "\"first-deterministic\" }",
                    "{ name = \"shards\", num_shards_per_partition = 2 }", "{ name = \"shards\", shard_size = 40 }",
                    "\"natural_id\"", "{ name = \"grouped_natural_id\", group_size = 1 }"));

// The sizes of flwr-datasets' partitioners for 25,000 rows and 10 partitions.
TEST(Partition, SizesThatGrowAreFlowers) {
  const LabelledExamples dataset(cyclic_labels(25'000, 2), cyclic_labels(1000, 2), 2);
  EXPECT_EQ(sizes(divide(dataset, 10, "\"linear\"").train),
            (std::vector<std::int64_t>{454, 909, 1363, 1818, 2272, 2727, 3181, 3636, 4090, 4550}));
  EXPECT_EQ(sizes(divide(dataset, 10, "\"square\"").train),
            (std::vector<std::int64_t>{64, 259, 584, 1038, 1623, 2337, 3181, 4155, 5259, 6500}));
  EXPECT_EQ(sizes(divide(dataset, 10, "\"exponential\"").train),
            (std::vector<std::int64_t>{1, 5, 14, 39, 106, 289, 786, 2138, 5813, 15809}));
}

TEST(Partition, SizesThatAreGiven) {
  const LabelledExamples dataset(cyclic_labels(20, 2), cyclic_labels(20, 2), 2);
  EXPECT_EQ(sizes(divide(dataset, 3, "{ name = \"sizes\", partition_sizes = [3, 10, 7] }").train),
            (std::vector<std::int64_t>{3, 10, 7}));
  EXPECT_EQ(sizes(divide(dataset, 3, "{ name = \"sizes\", partition_sizes = 4 }").train),
            (std::vector<std::int64_t>{4, 4, 4}));
  EXPECT_EQ(error_of(dataset, 3, "{ name = \"sizes\", partition_sizes = [3, 4] }"),
            "a.toml:9:31: 'partition_sizes' in [data.partition] has 2 numbers, but there are 3 clients: give one for "
            "each, or one for all");
  EXPECT_EQ(error_of(dataset, 3, "{ name = \"sizes\", partition_sizes = 7 }"),
            "a.toml:9:31: the 'partition_sizes' in [data.partition] add up to 21, but the train split has 20 examples");
}

TEST(Partition, AClientWithoutAnExampleIsNamed) {
  const LabelledExamples dataset(cyclic_labels(100, 2), cyclic_labels(100, 2), 2);
  EXPECT_EQ(
      error_of(dataset, 30, "\"exponential\""),
      "a.toml:9:1: the partition \"exponential\" leaves client 0 of 30 without a train example: choose another, or "
      "lower federation.clients");
  EXPECT_EQ(error_of(dataset, 101, "\"linear\""),
            "a.toml:9:1: 101 clients need a train example each, but the dataset has 100: lower federation.clients");
}

TEST(Partition, TestExamplesFollowAClientsOwnLabels) {
  // Label 0: client 0 has 3 of the 4 train examples, client 1 one. Label 1: client 1 has all. Label 2: nobody has any.
  const TemporaryDirectory directory;
  write_bytes(directory / "parts.json", R"({"train": [[0, 1, 2], [3, 4, 5, 6]]})");
  const LabelledExamples dataset({0, 0, 0, 0, 1, 1, 1, 2}, {0, 1, 2, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0}, 3);
  const Partition partition =
      divide(dataset, 2, "{ name = \"indices\", file = \"" + (directory / "parts.json").string() + "\" }");
  EXPECT_EQ(label_counts(partition.test, dataset, Split::test), (Parts{{6, 0, 0}, {2, 5, 0}}));
}

TEST(Partition, ALargeConcentrationMakesClientsAlike) {
  const LabelledExamples dataset(cyclic_labels(4000, 4), cyclic_labels(400, 4), 4);
  const Partition partition = divide(dataset, 5, "{ name = \"dirichlet\", alpha = 1e8 }");
  for (const auto& counts : label_counts(partition.train, dataset, Split::train))
    for (const std::int64_t count : counts) EXPECT_NEAR(count, 200, 2);
  for (const auto& counts : label_counts(partition.test, dataset, Split::test))
    for (const std::int64_t count : counts) EXPECT_NEAR(count, 20, 2);
  std::int64_t total = 0;
  for (const std::int64_t size : sizes(partition.train)) total += size;
  EXPECT_EQ(total, 4000);
}

TEST(Partition, ASmallConcentrationGivesALabelToOneClient) {
  const LabelledExamples dataset(cyclic_labels(4000, 40), cyclic_labels(400, 40), 40);
  const Partition partition = divide(dataset, 3, "{ name = \"dirichlet\", alpha = 0.02, min_partition_size = 20 }");
  std::int64_t in_largest = 0;  // examples that are with the client who has most of their label
  const auto counts = label_counts(partition.train, dataset, Split::train);
  for (std::size_t label = 0; label < 40; ++label)
    in_largest += std::max({counts[0][label], counts[1][label], counts[2][label]});
  EXPECT_GT(in_largest, 3600);
  for (const std::int64_t size : sizes(partition.train)) EXPECT_GE(size, 20);
}

// The mean of a share is alpha / sum(alpha): 1/6, 2/6, 3/6.
TEST(Partition, DirichletSharesAreProportionalToTheirConcentrationsOnAverage) {
  const LabelledExamples dataset(cyclic_labels(12'000, 60), {}, 60);
  std::vector<double> sums(3);
  for (int seed = 0; seed < 20; ++seed) {
    const auto parts =
        divide(dataset, 3, "{ name = \"dirichlet\", alpha = [1, 2, 3] }",
               {"run.seed=" + std::to_string(seed), "evaluation.federated=false", "evaluation.central=false"})
            .train;
    for (std::size_t client = 0; client < 3; ++client) sums[client] += static_cast<double>(parts[client].size());
  }
  // 1200 draws with a standard deviation of at most sqrt(1/4/7) each.
  for (std::size_t client = 0; client < 3; ++client)
    EXPECT_NEAR(sums[client] / (20 * 12'000), static_cast<double>(client + 1) / 6.0, 0.03);
}

TEST(Partition, DirichletStopsTryingAndSaysWhoHasTooFew) {
  const LabelledExamples dataset(cyclic_labels(100, 2), cyclic_labels(100, 2), 2);
  const std::string error = error_of(dataset, 10, "{ name = \"dirichlet\", alpha = 0.001 }");
  EXPECT_BEGINS(error,
                "a.toml:9:15: none of 11 draws gave each of the 10 clients 'min_partition_size' = 10 train "
                "examples (in the last one client ");
  EXPECT_NE(error.find("raise 'alpha' in [data.partition]"), std::string::npos) << error;
  EXPECT_BEGINS(error_of(dataset, 3, "{ name = \"dirichlet\", alpha = [1, 2] }"),
                "a.toml:9:35: 'alpha' in [data.partition] has 2 numbers, but there are 3 clients: ");
}

// A client that has more than the mean gets nothing of the labels that follow: with many labels none gets much more.
TEST(Partition, SelfBalancingBoundsSizes) {
  const LabelledExamples dataset(cyclic_labels(10'000, 100), {}, 100);
  const std::vector<std::string> no_tests{"evaluation.federated=false", "evaluation.central=false"};
  const auto balanced = divide(dataset, 10, "{ name = \"dirichlet\", alpha = 0.1, self_balancing = true }", no_tests);
  for (const std::int64_t size : sizes(balanced.train)) EXPECT_LE(size, 1000 + 100);
  const auto free = divide(dataset, 10, "{ name = \"dirichlet\", alpha = 0.1 }", no_tests);
  EXPECT_GT(sorted_sizes(free.train).back(), 1100);
}

TEST(Partition, InnerDirichletKeepsSizesAndExhaustsLabels) {
  // Half of the examples have label 0; all are dealt out, so that the last ones get what is left.
  std::vector<std::int64_t> labels(1000, 0);
  for (std::size_t i = 500; i < 1000; ++i) labels[i] = 1 + static_cast<std::int64_t>(i % 4);
  const LabelledExamples dataset(labels, cyclic_labels(50, 6), 6);  // label 5 has no train example
  const std::string rule = "{ name = \"inner_dirichlet\", alpha = 0.1, partition_sizes = [500, 300, 150, 50] }";
  const Partition partition = divide(dataset, 4, rule);
  EXPECT_EQ(sizes(partition.train), (std::vector<std::int64_t>{500, 300, 150, 50}));
  expect_disjoint(partition.train, 1000);
  EXPECT_BEGINS(error_of(dataset, 4, "{ name = \"inner_dirichlet\", alpha = [1, 2], partition_sizes = 3 }"),
                "a.toml:9:41: 'alpha' in [data.partition] has 2 numbers, but there are 6 labels: ");
}

TEST(Partition, InnerDirichletFollowsItsConcentrations) {
  const LabelledExamples dataset(cyclic_labels(9000, 3), {}, 3);
  const auto parts =
      divide(dataset, 4, "{ name = \"inner_dirichlet\", alpha = [1e8, 2e8, 5e8], partition_sizes = 800 }",
             {"evaluation.federated=false", "evaluation.central=false"})
          .train;
  for (const auto& counts : label_counts(parts, dataset, Split::train)) {
    EXPECT_NEAR(counts[0], 100, 50);  // binomial, five standard deviations
    EXPECT_NEAR(counts[1], 200, 65);
    EXPECT_NEAR(counts[2], 500, 70);
  }
}

TEST(Partition, PathologicalDeterministicHasTheLabelsOfItsFormula) {
  const LabelledExamples dataset(cyclic_labels(100, 10), cyclic_labels(100, 10), 10);
  const Partition partition =
      divide(dataset, 10,
             "{ name = \"pathological\", num_classes_per_partition = 2, class_assignment_mode = \"deterministic\" }");
  for (std::int64_t client = 0; client < 10; ++client) {
    const auto& part = partition.train[static_cast<std::size_t>(client)];
    EXPECT_EQ(labels_of(part, dataset), (std::set<std::int64_t>{client, (client + 1) % 10}));
    EXPECT_EQ(part.size(), 10U);  // half of each label
  }
}

// As numpy.array_split does: the first ones are larger. Label 1 has no example and does not count.
TEST(Partition, PathologicalSplitsALabelAmongThoseWhoHaveIt) {
  std::vector<std::int64_t> labels(10, 0);
  labels.insert(labels.end(), 6, 2);
  const LabelledExamples dataset(labels, {}, 3);
  const auto parts = divide(dataset, 3,
                            "{ name = \"pathological\", num_classes_per_partition = 2, class_assignment_mode = "
                            "\"deterministic\" }",
                            {"evaluation.federated=false", "evaluation.central=false"})
                         .train;
  EXPECT_EQ(label_counts(parts, dataset, Split::train), (Parts{{4, 0, 2}, {3, 0, 2}, {3, 0, 2}}));
}

// flwr-datasets' own cases: partitions, classes of each, rows, classes.
TEST(Partition, PathologicalHasExactlySoManyLabels) {
  for (const auto& [clients, classes, size, labels] :
       std::vector<std::array<int, 4>>{{3, 1, 60, 3}, {5, 2, 100, 5}, {5, 2, 100, 10}, {4, 3, 120, 6}}) {
    const LabelledExamples dataset(cyclic_labels(size, labels), cyclic_labels(size, labels), labels);
    const std::string number = "num_classes_per_partition = " + std::to_string(classes);
    for (const char* mode : {"random", "first-deterministic"}) {
      const auto parts =
          divide(dataset, clients,
                 "{ name = \"pathological\", " + number + ", class_assignment_mode = \"" + std::string{mode} + "\" }")
              .train;
      for (std::int64_t client = 0; client < clients; ++client) {
        const auto has = labels_of(parts[static_cast<std::size_t>(client)], dataset);
        EXPECT_EQ(std::ssize(has), classes);
        if (mode == std::string_view{"first-deterministic"}) {
          EXPECT_TRUE(has.contains(client % labels));
        }
      }
    }
  }
}

TEST(Partition, PathologicalSaysWhatIsImpossible) {
  const LabelledExamples dataset(cyclic_labels(100, 10), cyclic_labels(100, 10), 10);
  EXPECT_EQ(
      error_of(dataset, 5, "{ name = \"pathological\", num_classes_per_partition = 11 }"),
      "a.toml:9:38: 'num_classes_per_partition' in [data.partition] is 11, but the train split has examples of 10 "
      "labels");
  std::vector<std::int64_t> labels = cyclic_labels(10, 2);  // five of each
  labels.insert(labels.end(), 10, 2);
  const LabelledExamples few(labels, cyclic_labels(10, 3), 3);
  EXPECT_BEGINS(error_of(few, 10, "{ name = \"pathological\", num_classes_per_partition = 3 }"),
                "a.toml:9:15: the label 0 falls to 10 clients, but only 5 train examples have it: ");
}

// flwr-datasets' own cases: 113 rows of three labels in turn, three partitions.
TEST(Partition, ShardsHaveTheSizesOfFlowers) {
  const LabelledExamples dataset(cyclic_labels(113, 3), cyclic_labels(113, 3), 3);
  const auto of = [&](const std::string& options) {
    return sorted_sizes(divide(dataset, 3, "{ name = \"shards\", " + options + " }").train);
  };
  EXPECT_EQ(of("num_shards_per_partition = 3, shard_size = 10"), (std::vector<std::int64_t>{30, 30, 30}));
  EXPECT_EQ(of("shard_size = 10"), (std::vector<std::int64_t>{30, 40, 40}));
  EXPECT_EQ(of("shard_size = 10, keep_incomplete_shard = true"), (std::vector<std::int64_t>{33, 40, 40}));
  EXPECT_EQ(of("num_shards_per_partition = 3"), (std::vector<std::int64_t>{36, 36, 36}));
  EXPECT_EQ(error_of(dataset, 3, "{ name = \"shards\", num_shards_per_partition = 2, shard_size = 20 }"),
            "a.toml:9:62: 2 shards of 20 examples for each of 3 clients are more than the 113 examples of the train "
            "split");
  EXPECT_EQ(
      error_of(dataset, 3, "\"shards\""),
      "a.toml:9:1: [data.partition] needs 'num_shards_per_partition', 'shard_size' or both for the rule \"shards\"");
  EXPECT_NE(
      error_of(dataset, 3,
               "{ name = \"shards\", num_shards_per_partition = 2, shard_size = 2, keep_incomplete_shard = true }")
          .find("means nothing beside both"),
      std::string::npos);
}

// McMahan et al.: two shards of one label each.
TEST(Partition, ShardsOfWholeLabelsGiveTwoLabelsEach) {
  const LabelledExamples dataset(cyclic_labels(1000, 10), cyclic_labels(1000, 10), 10);
  const Partition partition = divide(dataset, 50, "{ name = \"shards\", num_shards_per_partition = 2 }");
  std::size_t most = 0;
  for (std::size_t client = 0; client < 50; ++client) {
    EXPECT_EQ(partition.train[client].size(), 20U);
    most = std::max(most, labels_of(partition.train[client], dataset).size());
    EXPECT_EQ(partition.test[client].size(), 20U);
  }
  EXPECT_EQ(most, 2U);
}

TEST(Partition, RulesOfLabelsNeedLabels) {
  const LabelledExamples dataset(cyclic_labels(100, 1), cyclic_labels(100, 1), 1);
  EXPECT_EQ(error_of(dataset, 3, "{ name = \"dirichlet\", alpha = 1 }"),
            "a.toml:9:15: the partition \"dirichlet\" goes by labels, and the dataset has only one: choose another");
}

TEST(Partition, NaturalIdsMakeTheirOwnClients) {
  LabelledExamples dataset(cyclic_labels(6, 2), cyclic_labels(5, 2), 2);
  EXPECT_EQ(error_of(dataset, 3, "\"natural_id\""),
            "a.toml:9:1: the partition \"natural_id\" needs a dataset that says whose each example is, and 'd' has no "
            "natural ids in its train split: choose another partition or prepare the data with its ids");
  dataset.set_keys({70, -5, 70, 9, 9, 70}, {9, 70, 8, 70, 9});
  const Partition partition = divide(dataset, 3, "\"natural_id\"");
  EXPECT_EQ(sorted(partition.train[0]), (std::vector<std::int64_t>{1}));  // ascending: -5, 9, 70
  EXPECT_EQ(sorted(partition.train[1]), (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(sorted(partition.train[2]), (std::vector<std::int64_t>{0, 2, 5}));
  EXPECT_EQ(sizes(partition.test), (std::vector<std::int64_t>{0, 2, 2}));  // nobody has 8
  EXPECT_EQ(error_of(dataset, 4, "\"natural_id\""),
            "a.toml:9:1: the train split has 3 natural ids, which make 3 clients: set federation.clients = 3, not 4");
  dataset.set_keys({70, -5, 70, 9, 9, 70}, {1, 2, 3, 4, 5});
  EXPECT_NE(error_of(dataset, 3, "\"natural_id\"").find("leaves all clients without a test example"),
            std::string::npos);
}

TEST(Partition, GroupsOfNaturalIds) {
  LabelledExamples dataset(cyclic_labels(8, 2), cyclic_labels(8, 2), 2);
  const std::vector<std::int64_t> keys{30, 10, 20, 10, 60, 50, 40, 70};  // seven ids, 10 twice
  dataset.set_keys(keys, keys);
  const auto groups = [&](int clients, const std::string& options) {
    Parts ids;
    for (const auto& part : divide(dataset, clients, "{ name = \"grouped_natural_id\", " + options + " }").train) {
      std::set<std::int64_t> distinct;
      for (const std::int64_t example : part) distinct.insert(keys[static_cast<std::size_t>(example)]);
      ids.emplace_back(distinct.begin(), distinct.end());
    }
    return ids;
  };
  EXPECT_EQ(groups(3, "group_size = 3"), (Parts{{10, 20, 30}, {40, 50, 60}, {70}}));
  EXPECT_EQ(groups(4, "group_size = 2"), (Parts{{10, 30}, {20, 60}, {40, 50}, {70}}));
  EXPECT_EQ(groups(4, "group_size = 2, sort_unique_ids = true"), (Parts{{10, 20}, {30, 40}, {50, 60}, {70}}));
  EXPECT_EQ(groups(2, "group_size = 3, mode = \"allow-bigger\""), (Parts{{10, 20, 30, 60}, {40, 50, 70}}));
  EXPECT_EQ(groups(2, "group_size = 3, mode = \"drop-reminder\""), (Parts{{10, 20, 30}, {40, 50, 60}}));
  EXPECT_EQ(groups(7, "group_size = 1, mode = \"strict\"").size(), 7U);
  EXPECT_EQ(groups(1, "group_size = 9").size(), 1U);
  const auto error = [&](const std::string& options) {
    return error_of(dataset, 2, "{ name = \"grouped_natural_id\", " + options + " }");
  };
  EXPECT_EQ(
      error("group_size = 3, mode = \"strict\""),
      "a.toml:9:60: 7 natural ids are not a multiple of 'group_size' = 3 in [data.partition], as mode = \"strict\" "
      "wants: 1 are left over");
  EXPECT_EQ(error("group_size = 9, mode = \"allow-bigger\""),
            "a.toml:9:44: 'group_size' in [data.partition] is 9, but the train split has 7 natural ids");
  EXPECT_EQ(error("group_size = 3"),
            "a.toml:9:15: the train split has 7 natural ids, which make 3 clients: set federation.clients = 3, not 2");
}

class Indices : public testing::Test {
 protected:
  std::string rule() const { return "{ name = \"indices\", file = \"" + path() + "\" }"; }
  std::string path() const { return (directory_ / "parts.json").string(); }
  std::string error(const std::string& text) const {
    write_bytes(directory_ / "parts.json", text);
    const std::string error = error_of(dataset_, 2, rule());
    return error.starts_with(path() + ": ") ? error.substr(path().size() + 2) : error;
  }
  LabelledExamples dataset_{cyclic_labels(10, 2), cyclic_labels(6, 2), 2};
  TemporaryDirectory directory_;
};

TEST_F(Indices, AreTakenAsTheyAre) {
  write_bytes(directory_ / "parts.json", R"({"train": [[9, 0, 3], [1]], "test": [[], [5, 4]]})");
  const Partition partition = divide(dataset_, 2, rule());
  EXPECT_EQ(partition.train, (Parts{{9, 0, 3}, {1}}));
  EXPECT_EQ(partition.test, (Parts{{}, {5, 4}}));
  EXPECT_EQ(divide(dataset_, 2, rule(), {"data.train_examples_per_client=2"}).train, (Parts{{9, 0}, {1}}));
}

TEST_F(Indices, SayWhatIsWrong) {
  EXPECT_EQ(error(R"({"train": [[0], [10]]})"), "the train examples of client 1: 10 is outside 0..9");
  EXPECT_EQ(error(R"({"train": [[0], [-1]]})"), "the train examples of client 1: -1 is outside 0..9");
  EXPECT_EQ(error(R"({"train": [[0], [1.0]]})"), "the train examples of client 1: 1.0 is not a whole number");
  EXPECT_EQ(error(R"({"train": [[0], [[1]]]})"),
            "the train examples of client 1: a list or an object is not a whole number");
  EXPECT_EQ(error(R"({"train": [[0, 2, 0], [1]]})"), "gives the train example 0 to client 0 twice");
  EXPECT_EQ(error(R"({"train": [[0, 2], [1, 2]]})"), "gives the train example 2 to client 0 and to client 1");
  EXPECT_EQ(error(R"({"train": [[0, 2]]})"), "has 1 lists of train examples, but federation.clients is 2");
  EXPECT_EQ(error(R"({"train": [[0], [1]], "test": [[6], [0]]})"), "the test examples of client 0: 6 is outside 0..5");
  EXPECT_EQ(error(R"({"train": [[0], 1]})"), "the train examples of client 1 must be a list");
  EXPECT_EQ(error(R"({"train": {"0": [1]}})"), "\"train\" must be a list");
  EXPECT_EQ(error(R"({"test": [[0], [1]]})"), "has no \"train\", a list of examples for each client");
  EXPECT_EQ(error(R"({"train": [[0], [1]], "tests": []})"), "has a \"tests\"; it may have \"train\" and \"test\"");
  EXPECT_EQ(error("[[0], [1]]"), "is not an object with \"train\" or \"test\": see `fedmpi plugins`");
  EXPECT_BEGINS(error("{\"train\": [[0], [1],]}"), "is not JSON: parse error at line 1, column 21: syntax");
  EXPECT_EQ(error(R"({"train": [[0], []]})"),
            "a.toml:9:15: the partition \"indices\" leaves client 1 of 2 without a train example: choose another, or "
            "lower federation.clients");
  EXPECT_BEGINS(error(R"({"train": [[0], [1]], "test": [[], []]})"),
                "a.toml:9:15: the partition \"indices\" leaves all clients without a test exam");
}

TEST_F(Indices, TheFileIsPartOfTheJob) {
  EXPECT_EQ(error_of(dataset_, 2, rule()), "a.toml:9:33: 'file' in [data.partition]: " + path() + " is not there");
  write_bytes(directory_ / "parts.json", R"({"train": [[0], [1]]})");
  const Job job = job_of(2, rule());
  const auto digest = job.data.partition.options.get<std::string>("file_digest");
  EXPECT_EQ(digest.size(), 32U);
  const std::string same = "data.partition.file_digest=" + digest;
  EXPECT_EQ(error_of(dataset_, 2, rule(), {same}), "no error");
  write_bytes(directory_ / "parts.json", R"({"train": [[0], [2]]})");
  EXPECT_NE(job_of(2, rule()).data, job.data);
  EXPECT_BEGINS(error_of(dataset_, 2, rule(), {same}), "--set: " + path() + " is not the file it was");
}

TEST(Statistics, CountWhatEachClientHas) {
  const LabelledExamples dataset({0, 1, 0, 2, 2}, {0, 1}, 3);
  const Partition partition{.train = {{0, 2}, {4, 1, 3}}, .test = {{1}, {}}, .central = {}};
  const auto statistics = partition_statistics(partition, dataset);
  ASSERT_EQ(statistics.size(), 2U);
  EXPECT_EQ(statistics[0].train_examples, 2);
  EXPECT_EQ(statistics[0].test_examples, 1);
  EXPECT_EQ(statistics[0].tokens, 1 + 3);
  EXPECT_EQ(statistics[0].labels, (std::map<std::int64_t, std::int64_t>{{0, 2}}));
  EXPECT_EQ(statistics[1].tokens, 5 + 2 + 4);
  EXPECT_EQ(statistics[1].labels, (std::map<std::int64_t, std::int64_t>{{1, 1}, {2, 2}}));
  EXPECT_EQ(statistics_table(statistics, 5),
            "  client    train     test     tokens  train examples by label\n"
            "       0        2        1          4  0: 2\n"
            "       1        3        0         11  1: 1, 2: 2\n"
            "2 clients have 5 of 5 train examples, each 2 to 3 (median 2); labels of a client 1 to 2 (median 1)");
  const auto json = nlohmann::json::parse(statistics_json(statistics));
  EXPECT_EQ(json, nlohmann::json::parse(R"({"clients": [
      {"client": 0, "train_examples": 2, "test_examples": 1, "tokens": 4, "labels": {"0": 2}},
      {"client": 1, "train_examples": 3, "test_examples": 0, "tokens": 11, "labels": {"1": 1, "2": 2}}]})"));
}

TEST(Statistics, ATableOfManyClientsAndLabelsStaysShort) {
  const LabelledExamples dataset(cyclic_labels(1000, 10), cyclic_labels(1000, 10), 10);
  const auto statistics =
      partition_statistics(divide(dataset, 100, "{ name = \"sizes\", partition_sizes = 9 }"), dataset);
  const std::string table = statistics_table(statistics, 1000);
  EXPECT_EQ(std::ranges::count(table, '\n'), 13);  // a heading and twelve clients
  EXPECT_NE(table.find(" more\n"), std::string::npos);
  EXPECT_NE(table.find("100 clients have 900 of 1000 train examples, each 9 to 9 (median 9)"), std::string::npos);
}

}  // namespace
}  // namespace fedmpi
