#include "partition_statistics.hpp"

#include "fedmpi/error.hpp"
#include "partition_jobs.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

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
  const std::string text = statistics_json(statistics);
  EXPECT_EQ(statistics_json(statistics_from_json(text)), text);
}

TEST(Statistics, OtherTextsAreErrors) {
  const auto with = [](const std::string& client) { return R"({"clients": [)" + client + "]}"; };
  const std::string good =
      R"({"client": 0, "train_examples": 3, "test_examples": 1, "tokens": 4, "labels": {"0": 2, "-1": 1}})";
  EXPECT_EQ(statistics_from_json(with(good)).at(0).labels.at(-1), 1);
  EXPECT_TRUE(statistics_from_json(with("")).empty());
  const auto edited = [&](const std::string& old, const std::string& fresh) {
    std::string text = good;
    return with(text.replace(text.find(old), old.size(), fresh));
  };
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{}"), with("1"), with("[]"), with(good + "," + good),
        with(good) + "x", R"({"x": 1, )" + with(good).substr(1), edited("\"client\": 0", "\"client\": 1"),
        edited(": 4", ": 1e300"), edited(": 4", ": -4"), edited("tokens", "token"),
        edited("\"tokens\"", "\"x\": 1, \"tokens\""), edited("-1", "one"), edited("-1", "1x"),
        edited(": 2", ": 9223372036854775807"), edited(": 2", ": 1"), edited(": 2", ": [[[[[]]]]]"),
        with(std::string(500'000, '[') + std::string(500'000, ']'))}) {
    EXPECT_THROW(statistics_from_json(bad), Error) << bad.substr(0, 200);
  }
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
