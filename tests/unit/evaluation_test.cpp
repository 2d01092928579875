#include "evaluation.hpp"

#include "differences.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

class FiveTexts final : public Dataset {
 public:
  std::int64_t size(Split) const override { return 5; }
  std::span<const std::int64_t> labels(Split) const override { return labels_; }
  std::int64_t num_labels() const override { return 2; }
  std::span<const std::int64_t> lengths(Split) const override { return lengths_; }
  Batch batch(Split, std::span<const std::int64_t>) const override { return {}; }
  std::string digest() const override { return {}; }

 private:
  std::vector<std::int64_t> labels_{0, 1, 0, 1, 0}, lengths_{7, 3, 9, 3, 5};
};

TEST(Blocks, AreSortedByLengthThenIndex) {
  std::vector<EvaluationBlock> blocks;
  append_blocks(blocks, FiveTexts(), {0, 1, 2, 3, 4}, 2, -1);
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_EQ(blocks[0].examples, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(blocks[1].examples, (std::vector<std::int64_t>{4, 0}));
  EXPECT_EQ(blocks[1].cost, 12);
  EXPECT_EQ(blocks[2].examples, (std::vector<std::int64_t>{2}));
}

TEST(Combine, WeightsByExamplesAndKeepsCentralApart) {
  const std::vector<EvaluationBlock> blocks{{0, {}, 0}, {4, {}, 0}, {-1, {}, 0}};
  const Scores scores = combine(blocks, {{2, {8.0, 4, 1}}, {1, {3.0, 2, 2}}, {0, {0.5, 1, 0}}});
  ASSERT_TRUE(scores.federated && scores.central);
  EXPECT_DOUBLE_EQ(scores.federated->loss, 3.5 / 3);
  EXPECT_DOUBLE_EQ(scores.federated->accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(scores.central->loss, 2.0);
  EXPECT_DOUBLE_EQ(scores.central->accuracy, 0.25);
  EXPECT_FALSE(combine(std::span(blocks).first(2), {{0, {1.0, 1, 1}}}).central);
}

TEST(DifferingKeys, NamesWhatChangesTheResultOnly) {
  const std::string job = "[run]\nseed = 42\nrounds = 3\n\n[training]\nlearning_rate = 0.1\n";
  EXPECT_TRUE(differing_keys(job, "[run]\nseed = 42\nrounds = 9\n[training]\nlearning_rate = 0.1\n").empty());
  EXPECT_EQ(differing_keys(job, "[run]\nseed = 7\nrounds = 3\n[training]\n"),
            (std::vector<std::string>{"run.seed", "training.learning_rate"}));
}

TEST(DifferingKeys, RoundsMatterToALearningRateThatChangesOverThem) {
  for (const char* line : {"learning_rate_schedule = \"linear\"\nwarmup_fraction = 0.0\n",
                           "learning_rate_schedule = \"constant\"\nwarmup_fraction = 0.1\n"}) {
    const std::string training = std::string("[training]\n") + line;
    EXPECT_EQ(differing_keys("[run]\nrounds = 3\n" + training, "[run]\nrounds = 9\n" + training),
              std::vector<std::string>{"run.rounds"});
  }
}

TEST(DifferingVersions, NamesWhatIsOtherOrMissing) {
  EXPECT_EQ(differing_versions({{"torch", "2.13.0"}, {"mpi", "5.0"}, {"hdf5", "1.14"}},
                               {{"torch", "2.12.0"}, {"mpi", "5.0"}}),
            (std::vector<std::string>{"hdf5", "torch"}));
}

}  // namespace
}  // namespace fedmpi
