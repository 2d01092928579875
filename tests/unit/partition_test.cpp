#include "partition.hpp"

#include "partition_jobs.hpp"
#include "temporary_directory.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

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

}  // namespace
}  // namespace fedmpi
