#include "evaluation.hpp"

#include "differences.hpp"
#include "fedmpi/error.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
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

Score central_score(const std::vector<std::int64_t>& truth, const std::vector<std::int64_t>& predicted,
                    std::int64_t num_labels, std::int64_t num_predicted) {
  const std::vector<EvaluationBlock> blocks{{-1, {}, 0}};
  LabelCounts counts({Task::classification, num_labels, num_predicted});
  for (std::size_t i = 0; i < truth.size(); ++i) counts.add(true, truth[i], predicted[i]);
  return *combine(blocks, {{{0, {0.0, std::ssize(truth)}}}, counts}).central;
}

TEST(Combine, WeightsByExamplesAndKeepsCentralApart) {
  const std::vector<EvaluationBlock> blocks{{0, {}, 0}, {4, {}, 0}, {-1, {}, 0}};
  const LabelRange two{Task::classification, 2, 2};
  LabelCounts counts(two);
  counts.add(false, 0, 0);
  counts.add(true, 0, 1, 3);
  counts.add(false, 1, 1);
  counts.add(false, 1, 0);
  counts.add(true, 1, 1);
  const Scores scores = combine(blocks, {{{2, {8.0, 4}}, {1, {3.0, 2}}, {0, {0.5, 1}}}, counts});
  ASSERT_TRUE(scores.federated && scores.central);
  EXPECT_DOUBLE_EQ(scores.federated->loss, 3.5 / 3);
  EXPECT_DOUBLE_EQ(*scores.federated->accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(*scores.federated->f1, 2.0 / 3);
  EXPECT_DOUBLE_EQ(scores.central->loss, 2.0);
  EXPECT_DOUBLE_EQ(*scores.central->accuracy, 0.25);
  EXPECT_DOUBLE_EQ(*scores.central->f1, 0.2);  // (0 + 2 / 5) / 2
  EXPECT_EQ(scores.central->confusion, (Confusion{{0, 3}, {0, 1}}));
  EXPECT_FALSE(scores.central->mean_absolute_error);
  EXPECT_FALSE(combine(std::span(blocks).first(2), {{{0, {1.0, 1}}}, LabelCounts(two)}).central);
}

// The examples of scikit-learn's documentation of f1_score and confusion_matrix, with the values given there.
TEST(Combine, F1AndConfusionAreScikitLearns) {
  const Score f1 = central_score({0, 1, 2, 0, 1, 2}, {0, 2, 1, 0, 0, 1}, 3, 3);
  EXPECT_NEAR(*f1.f1, 0.26666666666666666, 1e-15);
  const std::vector<std::int64_t> truth{2, 0, 2, 2, 0, 1}, predicted{0, 0, 2, 2, 0, 2};
  const Score score = central_score(truth, predicted, 3, 3);
  EXPECT_EQ(score.confusion, (Confusion{{2, 0, 0}, {0, 0, 1}, {1, 0, 2}}));
  EXPECT_NEAR(*score.f1, (4.0 / 5 + 0 + 4.0 / 6) / 3, 1e-15);
  EXPECT_NEAR(*score.accuracy, 4.0 / 6, 1e-15);
  // A label that nothing has and nothing is taken for counts as 0; a prediction that no example can have is a miss.
  EXPECT_NEAR(*central_score(truth, predicted, 4, 4).f1, (4.0 / 5 + 0 + 4.0 / 6 + 0) / 4, 1e-15);
  const Score wider = central_score({0, 0, 1, 1}, {0, 2, 1, 1}, 2, 3);
  EXPECT_EQ(wider.confusion, (Confusion{{1, 0, 1}, {0, 2, 0}}));
  EXPECT_NEAR(*wider.f1, (2.0 / 3 + 1) / 2, 1e-15);
}

TEST(Combine, AMatrixOfMoreThanAHundredLabelsIsLeftOut) {
  EXPECT_EQ(central_score({0}, {99}, 100, 100).confusion.size(), 100U);
  const Score score = central_score({0, 7}, {100, 7}, 101, 101);
  EXPECT_TRUE(score.confusion.empty());
  EXPECT_NEAR(*score.f1, 1.0 / 101, 1e-15);
}

// One number, three for each label of the clients' examples and of the central ones, and the matrix.
TEST(LabelCounts, AreSoManyWhateverIsCounted) {
  EXPECT_EQ(LabelCounts::size({Task::classification, 2, 2}), 1 + 2 * 3 * 2 + 2 * 2);
  EXPECT_EQ(LabelCounts::size({Task::classification, 3, 100}), 1 + 2 * 3 * 3 + 3 * 100);
  EXPECT_EQ(LabelCounts::size({Task::classification, 100'000, 100'000}), 1 + 2 * 3 * 100'000);
  EXPECT_EQ(LabelCounts::size({Task::regression, 1, 1}), 0);
}

TEST(LabelCounts, OfSeveralRanksAddUp) {
  const LabelRange range{Task::classification, 3, 4};
  LabelCounts one(range), other(range);
  one.add(true, 2, 3);
  other.add(true, 2, 2, 5);
  other.add(false, 1, -1);
  one.all.add_(other.all);
  EXPECT_EQ(one.all.numel(), LabelCounts::size(range));
  EXPECT_TRUE(at::equal(one.of_label, at::tensor({0, 0, 0, 0, 0, 6}, at::kLong).view({2, 3})));
  EXPECT_TRUE(at::equal(one.taken_for, at::tensor({0, 0, 0, 0, 0, 5}, at::kLong).view({2, 3})));
  EXPECT_TRUE(at::equal(one.right, one.taken_for));
  EXPECT_TRUE(at::equal(one.confusion, at::tensor({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1}, at::kLong).view({3, 4})));
  EXPECT_EQ(one.unknown.item<std::int64_t>(), 1);
}

TEST(Combine, AModelThatKnowsItsLossAloneHasNoOtherScore) {
  const std::vector<EvaluationBlock> blocks{{-1, {}, 0}};
  LabelCounts unknown({Task::classification, 2, 2});
  unknown.add(true, 0, -1, 2);
  unknown.add(true, 1, -1);
  const Score labels = *combine(blocks, {{{0, {6.0, 3}}}, unknown}).central;
  EXPECT_DOUBLE_EQ(labels.loss, 2.0);
  EXPECT_FALSE(labels.accuracy || labels.f1);
  EXPECT_TRUE(labels.confusion.empty());
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  const LabelCounts none({Task::regression, 1, 1});
  EXPECT_FALSE(combine(blocks, {{{0, {6.0, 3}, nothing}}, none}).central->mean_absolute_error);
}

TEST(Combine, RegressionHasAMeanAbsoluteErrorInstead) {
  const std::vector<EvaluationBlock> blocks{{0, {}, 0}, {-1, {}, 0}, {-1, {}, 0}};
  const Scores scores = combine(
      blocks, {{{2, {8.0, 3}, 1.5}, {0, {1.0, 2}, 5.0}, {1, {2.0, 1}, 0.5}}, LabelCounts({Task::regression, 1, 1})});
  EXPECT_DOUBLE_EQ(scores.central->loss, 2.5);
  EXPECT_DOUBLE_EQ(*scores.central->mean_absolute_error, 0.5);
  EXPECT_DOUBLE_EQ(*scores.federated->mean_absolute_error, 2.5);
  EXPECT_FALSE(scores.central->accuracy || scores.central->f1);
  RoundMetrics metrics;
  record(scores, metrics);
  EXPECT_EQ(metrics.central_mean_absolute_error, 0.5);
  EXPECT_EQ(metrics.evaluate_mean_absolute_error, 2.5);
  EXPECT_FALSE(metrics.central_accuracy || metrics.central_f1);
}

// Gives out each example's number as its label, or as its target.
class Numbered final : public Dataset {
 public:
  Numbered(std::int64_t size, Task task)
      : task_{task}, labels_(static_cast<std::size_t>(size)), lengths_(static_cast<std::size_t>(size), 1) {
    for (std::size_t i = 0; i < labels_.size(); ++i) labels_[i] = task == Task::regression ? 0 : std::int64_t(i) % 5;
  }
  std::int64_t size(Split) const override { return std::ssize(labels_); }
  Task task() const override { return task_; }
  std::span<const std::int64_t> labels(Split) const override { return labels_; }
  std::int64_t num_labels() const override { return task_ == Task::regression ? 1 : 5; }
  std::span<const std::int64_t> lengths(Split) const override { return lengths_; }
  Batch batch(Split, std::span<const std::int64_t> examples) const override {
    const at::Tensor numbers = at::tensor(at::ArrayRef<std::int64_t>(examples.data(), examples.size()), at::kLong);
    if (task_ == Task::classification) return {.labels = numbers % 5};
    return {.labels = at::zeros_like(numbers), .targets = numbers.to(at::kFloat)};
  }
  std::string digest() const override { return {}; }

 private:
  Task task_;
  std::vector<std::int64_t> labels_, lengths_;
};

// Says the next label, or a half too much.
class OneMore final : public Model {
 public:
  OneMore(Task task, std::int64_t num_labels) : task_{task}, num_labels_{num_labels} {}
  const Layout& layout() const override { return layout_; }
  void set_layout(Layout layout) override { layout_ = std::move(layout); }
  Task task() const override { return task_; }
  std::int64_t num_labels() const override { return num_labels_; }
  void check(const Batch&) const override {}
  void initialize(at::Tensor, RandomKey) override {}
  void bind(at::Tensor, at::Tensor, Precision) override {}
  BatchResult fit(const Batch&, RandomKey) override { return {}; }
  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override {
    predictions.copy_(task_ == Task::regression ? batch.targets + 0.5 : batch.labels + 1);
    return {0.1 * static_cast<double>(batch.labels.numel()), batch.labels.numel()};
  }

 private:
  Task task_;
  std::int64_t num_labels_;
  Layout layout_;
};

std::vector<EvaluationBlock> blocks_of(const Dataset& dataset) {
  std::vector<std::int64_t> examples;
  for (std::int64_t i = 0; i < dataset.size(Split::test); ++i) examples.push_back(i);
  std::vector<EvaluationBlock> blocks;
  append_blocks(blocks, dataset, examples, 4, -1);
  append_blocks(blocks, dataset, {3, 4}, 4, 0);
  return blocks;
}

void one_model(std::int64_t) {}

TEST(Evaluate, CountsWhatTheModelPredictsWhoeverEvaluates) {
  const Numbered dataset(23, Task::classification);
  OneMore model(Task::classification, 6);
  const auto blocks = blocks_of(dataset);
  const Scores alone = combine(
      blocks, evaluate_blocks(model, dataset, blocks, std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}, one_model));
  // 5, 5, 5, 4 and 4 examples have the labels 0 to 4.
  EXPECT_EQ(
      alone.central->confusion,
      (Confusion{{0, 5, 0, 0, 0, 0}, {0, 0, 5, 0, 0, 0}, {0, 0, 0, 5, 0, 0}, {0, 0, 0, 0, 4, 0}, {0, 0, 0, 0, 0, 4}}));
  EXPECT_EQ(*alone.central->accuracy, 0.0);
  EXPECT_EQ(*alone.federated->accuracy, 0.0);
  EvaluationResults together = evaluate_blocks(model, dataset, blocks, std::vector<std::size_t>{6, 1, 4}, one_model);
  for (const std::vector<std::size_t>& chosen : {std::vector<std::size_t>{5, 0}, {}, {3, 2}}) {
    const EvaluationResults other = evaluate_blocks(model, dataset, blocks, chosen, one_model);
    together.blocks.insert(together.blocks.begin(), other.blocks.begin(), other.blocks.end());
    together.counts.all.add_(other.counts.all);
  }
  const Scores spread = combine(blocks, together);
  EXPECT_EQ(spread.central->confusion, alone.central->confusion);
  EXPECT_EQ(spread.central->loss, alone.central->loss);  // to the last bit
  EXPECT_EQ(*spread.federated->f1, *alone.federated->f1);
}

TEST(Evaluate, APredictionThatTheModelCannotHaveIsAnError) {
  const Numbered dataset(23, Task::classification);
  OneMore model(Task::classification, 5);
  const auto blocks = blocks_of(dataset);
  try {
    evaluate_blocks(model, dataset, blocks, std::vector<std::size_t>{0, 1}, one_model);
    FAIL() << "a label 5 of 5 was counted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "the model gives an example the label 5, but says that its labels are 0 to 4: its plugin is wrong");
  }
}

TEST(Evaluate, RegressionSumsAbsoluteErrors) {
  const Numbered dataset(23, Task::regression);
  OneMore model(Task::regression, 1);
  const auto blocks = blocks_of(dataset);
  const EvaluationResults results = evaluate_blocks(model, dataset, blocks, std::vector<std::size_t>{0, 5}, one_model);
  EXPECT_EQ(results.counts.all.numel(), 0);
  ASSERT_EQ(results.blocks.size(), 2U);
  EXPECT_EQ(results.blocks[0].absolute_error_sum, 2.0);
  EXPECT_EQ(results.blocks[1].absolute_error_sum, 1.5);
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
