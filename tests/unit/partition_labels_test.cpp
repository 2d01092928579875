// Rules that go by labels.
#include "partition_jobs.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

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

}  // namespace
}  // namespace fedmpi
