// The checks of `fedmpi plugins --check`: sound plugins pass, and each flaw is found by the check that is meant for it.
#include "fedmpi/conformance.hpp"

#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/random.hpp"
#include "fedmpi/strategy.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

constexpr std::array<OptionSpec, 0> no_options{};

template <class Interface, class Class>
std::unique_ptr<Interface> make_object(const Options& options) {
  if constexpr (std::is_constructible_v<Class, const Options&>)
    return std::make_unique<Class>(options);
  else
    return std::make_unique<Class>();
}

struct Result {
  std::vector<std::string> failed;  // checks
  std::string sentence;             // of the first
};

template <class Interface, class Class>
Result result_of(std::span<const OptionSpec> options = no_options, const std::vector<std::string>& settings = {}) {
  const PluginInfo info{abi_version,
                        sizeof(PluginInfo),
                        FEDMPI_BUILD_STAMP,
                        Interface::plugin_kind,
                        "tried",
                        "1.0",
                        "to be checked",
                        options.data(),
                        options.size(),
                        reinterpret_cast<AnyFactory>(&make_object<Interface, Class>)};
  const Plugin plugin{.info = &info, .path = "tried.so", .digest = ""};
  Result result;
  std::string current;
  const int num_threads = at::get_num_threads();
  check_conformance(plugin, settings,
                    {.begin = [&](const std::string& check) { current = check; },
                     .end =
                         [&](const Finding& finding) {
                           EXPECT_EQ(finding.check, current);
                           if (finding.failure.empty()) return;
                           if (result.failed.empty()) result.sentence = finding.failure;
                           result.failed.push_back(finding.check);
                         }});
  at::set_num_threads(num_threads);
  return result;
}

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

using Names = std::vector<std::string>;

// ---- options

constexpr auto number = OptionType::number;

TEST(Conformance, OptionsMustBeUsable) {
  const auto of = [](const OptionSpec& option) {
    const std::array options{option};
    return result_of<Strategy, Strategy>(options);
  };
  EXPECT_EQ(of({"rate", number, "1", "how much", 0, 2}).failed, Names{});
  EXPECT_CONTAINS(of({"rate", number, "1", ""}).sentence, "says nothing about its option 'rate'");
  EXPECT_CONTAINS(of({"rate", number, "1", "how\nmuch"}).sentence, "more than one line of help");
  EXPECT_CONTAINS(of({"The Rate", number, "1", "how much"}).sentence, "which a job file cannot set");
  EXPECT_CONTAINS(of({"rate", number, "", "how much", 2, 1}).sentence, "whose minimum, 2, is above its maximum, 1");
}

TEST(Conformance, TakesSettings) {
  struct Strict final : Strategy {
    explicit Strict(const Options& options) {
      if (options.get<double>("rate") != 0.25) throw UserError("the rate is not 0.25");
    }
  };
  constexpr std::array options{OptionSpec{"rate", number, "1", "how much", 0, 2}};
  EXPECT_EQ((result_of<Strategy, Strict>(options, {"rate=0.25"}).failed), Names{});
  EXPECT_CONTAINS((result_of<Strategy, Strict>(options).sentence), "the rate is not 0.25");
  EXPECT_THROW((result_of<Strategy, Strict>(options, {"rat=0.25"})), ConfigError);
  EXPECT_THROW((result_of<Strategy, Strict>(options, {"rate=3"})), ConfigError);
}

// ---- strategies

TEST(Conformance, FedAvgPasses) {
  EXPECT_EQ((result_of<Strategy, Strategy>().failed), Names{});
}

struct Momentum : Strategy {
  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const FitRound&) override {
    if (!velocity.defined()) velocity = at::zeros_like(global);
    velocity.mul_(0.9).add_(mean_updates[0]);
    global.add_(velocity);
  }
  std::vector<NamedTensor> state() const override {
    if (!velocity.defined()) return {};
    return {{"velocity", velocity}};
  }
  void restore(std::span<const NamedTensor> state) override {
    velocity = state.empty() ? at::Tensor() : state[0].tensor;
  }
  at::Tensor velocity;
};

TEST(Conformance, AStateMustHoldAllThatTheNextRoundNeeds) {
  struct Forgets final : Momentum {
    std::vector<NamedTensor> state() const override { return {}; }
  };
  struct Ignores final : Momentum {
    void restore(std::span<const NamedTensor>) override {}
  };
  struct Twice final : Momentum {
    std::vector<NamedTensor> state() const override {
      if (!velocity.defined()) return {};
      return {{"velocity", velocity}, {"velocity", velocity}};
    }
  };
  struct Odd final : Momentum {
    std::vector<NamedTensor> state() const override { return {{"a/b", at::zeros({1})}}; }
  };
  struct Half final : Momentum {
    std::vector<NamedTensor> state() const override { return {{"velocity", at::zeros({1}, at::kHalf)}}; }
  };
  EXPECT_EQ((result_of<Strategy, Momentum>().failed), Names{});
  EXPECT_EQ((result_of<Strategy, Forgets>().failed), Names{"state"});
  EXPECT_CONTAINS((result_of<Strategy, Forgets>().sentence),
                  "does not go on as it was after a restart: restored after 1");
  EXPECT_CONTAINS((result_of<Strategy, Ignores>().sentence), "does not restore what it saved: after 1 rounds");
  EXPECT_CONTAINS((result_of<Strategy, Twice>().sentence), "calls two parts of its state 'velocity'");
  EXPECT_CONTAINS((result_of<Strategy, Odd>().sentence), "calls a part of its state 'a/b'");
  EXPECT_CONTAINS((result_of<Strategy, Half>().sentence), "that a checkpoint cannot hold");
}

TEST(Conformance, NothingOfAClientMayBeKeptInAStrategy) {
  struct Counts final : Strategy {
    void finish_fit(at::Tensor updates, ClientFit&) const override { updates.mul_(1.0 / ++num_fits); }
    mutable int num_fits = 0;
  };
  const Result result = result_of<Strategy, Counts>();
  EXPECT_EQ(result.failed[0], "any number of ranks");
  EXPECT_CONTAINS(result.sentence, "on 1 rank and on 2 are not the same");
}

TEST(Conformance, AStrategyMustBeDeterministicAndFinite) {
  struct Dice final : Strategy {
    void aggregate(at::Tensor global, at::Tensor, const at::Tensor&, const FitRound&) override {
      static int calls = 0;
      global.add_(++calls);
    }
  };
  struct Divides final : Strategy {
    void aggregate(at::Tensor global, at::Tensor, const at::Tensor&, const FitRound&) override { global.div_(0.0); }
  };
  struct Negative final : Strategy {
    double weight(const FitRecord& record) const override { return 5.0 - static_cast<double>(record.num_examples); }
  };
  EXPECT_EQ((result_of<Strategy, Dice>().failed[0]), "same results again");
  EXPECT_EQ((result_of<Strategy, Divides>().failed), Names{"finite results"});
  EXPECT_CONTAINS((result_of<Strategy, Negative>().sentence), "gives a client of 7 examples the weight -2");
}

TEST(Conformance, AStrategyAsksForWhatThereIs) {
  struct Both final : Strategy {
    Exchange exchange() const override { return {.aggregation = Aggregation::slices, .num_extra_updates = 1}; }
  };
  struct Personal final : Strategy {
    Exchange exchange() const override { return {.personal_model = true}; }
  };
  struct Unfinished final : Strategy {
    Exchange exchange() const override { return {.aggregation = Aggregation::slices}; }
  };
  struct ThrowsANumber final : Strategy {
    Exchange exchange() const override { throw 7; }
  };
  EXPECT_CONTAINS((result_of<Strategy, Both>().sentence), "works on slices and has extra updates");
  EXPECT_CONTAINS((result_of<Strategy, Personal>().sentence), "no client vector to keep it in");
  EXPECT_CONTAINS((result_of<Strategy, Unfinished>().sentence), "aggregate_slice");
  EXPECT_CONTAINS((result_of<Strategy, ThrowsANumber>().sentence), "throws something that is no std::exception");
}

// The mean, which every rank takes of its range alone.
struct SliceMean : Strategy {
  Exchange exchange() const override { return {.aggregation = Aggregation::slices, .products = true}; }
  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const FitRound&) const override {
    global.add_(updates.mean(0));
  }
};

TEST(Conformance, SlicesMayNotDependOnWhoWorksOnThem) {
  struct Remembers final : SliceMean {
    void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const FitRound&) const override {
      global.add_(updates.mean(0), 1.0 + (calls++ > 20 ? 1.0 : 0.0));
    }
    mutable std::atomic<int> calls = 0;
  };
  EXPECT_EQ((result_of<Strategy, SliceMean>().failed), Names{});
  EXPECT_FALSE((result_of<Strategy, Remembers>().failed.empty()));
}

// ---- models

enum class Flaw {
  none,
  no_bias_gradient,
  twice_the_gradient,
  adds_to_the_gradient,
  counts_calls,
  counts_threads,
  looks_at_the_batch,
  trains_in_evaluation,
  predicts_some,
  takes_anything,
  throws_anything,
  starts_anyhow,
  writes_in_gaps,
  keeps_its_layout,
  shares_a_number,
};

// softmax(x W^T + b) of three features and two labels.
template <Flaw flaw>
class Classifier final : public Model {
 public:
  const Layout& layout() const override { return layout_; }
  void set_layout(Layout layout) override {
    if (flaw != Flaw::keeps_its_layout) layout_ = std::move(layout);
  }
  bool uses_one_thread() const override { return flaw == Flaw::none || flaw == Flaw::shares_a_number; }
  std::int64_t num_labels() const override { return 2; }

  void check(const Batch& batch) const override {
    if (flaw == Flaw::takes_anything) return;
    if (batch.features.defined() && batch.features.dim() == 2 && batch.features.size(1) == 3) return;
    if (flaw == Flaw::throws_anything) throw std::runtime_error("what is this");
    throw UserError("it takes three features");
  }

  void initialize(at::Tensor values, RandomKey key) override {
    static int calls = 0;
    values.zero_();
    if (flaw == Flaw::writes_in_gaps) values.fill_(0.5);
    RandomStream random(flaw == Flaw::starts_anyhow ? derive(key, static_cast<std::uint64_t>(++calls)) : key);
    const at::Tensor weight = layout_.view(values, 0);
    for (int i = 0; i < 6; ++i) weight.data_ptr<float>()[i] = static_cast<float>(random.normal());
  }

  void bind(at::Tensor values, at::Tensor gradients, Precision) override {
    values_ = values;
    weight_ = layout_.view(values, 0);
    bias_ = layout_.view(values, 1);
    weight_gradient_ = layout_.gradient_view(gradients, 0);
    bias_gradient_ = layout_.gradient_view(gradients, 1);
  }

  BatchResult fit(const Batch& batch, RandomKey key) override {
    const at::Tensor features = of(batch), log_probabilities = forward(features);
    at::Tensor gradient = log_probabilities.exp();
    gradient.scatter_add_(1, batch.labels.unsqueeze(1), at::full({features.size(0), 1}, -1.0F));
    gradient.div_(features.size(0));
    if (flaw == Flaw::twice_the_gradient) gradient.mul_(2.0);
    at::Tensor weight = at::mm(gradient.t(), features);
    if (flaw == Flaw::counts_calls) weight.add_(1e-6 * ++calls_);
    if (flaw == Flaw::counts_threads) weight.add_(1e-6 * at::get_num_threads());
    if (flaw == Flaw::shares_a_number) {
      static std::atomic<std::uint64_t> newest;
      newest = key.value;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (newest != key.value) weight.add_(1.0);
    }
    if (flaw == Flaw::adds_to_the_gradient && weight_gradient_.defined()) weight.add_(weight_gradient_);
    if (weight_gradient_.defined()) weight_gradient_.copy_(weight);
    if (bias_gradient_.defined()) bias_gradient_.copy_(gradient.sum(0));
    if (bias_gradient_.defined() && flaw == Flaw::no_bias_gradient) bias_gradient_.zero_();
    return score(log_probabilities, batch.labels);
  }

  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override {
    at::Tensor features = of(batch);
    if (flaw == Flaw::looks_at_the_batch) features = features - features.mean(0);
    const at::Tensor log_probabilities = forward(features);
    if (flaw == Flaw::trains_in_evaluation) weight_.mul_(1.01);
    const at::Tensor chosen = log_probabilities.argmax(1);
    if (flaw == Flaw::predicts_some)
      predictions[0] = chosen[0];
    else
      predictions.copy_(chosen);
    return score(log_probabilities, batch.labels);
  }

 private:
  at::Tensor of(const Batch& batch) const { return batch.features; }
  at::Tensor forward(const at::Tensor& features) const {
    return at::addmm(bias_, features, weight_.t()).log_softmax(1);
  }
  static BatchResult score(const at::Tensor& log_probabilities, const at::Tensor& labels) {
    return {.loss_sum = -log_probabilities.gather(1, labels.unsqueeze(1)).to(at::kDouble).sum().template item<double>(),
            .num_examples = labels.size(0)};
  }

  Layout layout_{{{.name = "weight", .shape = {2, 3}}, {.name = "bias", .shape = {2}}}};
  at::Tensor values_, weight_, bias_, weight_gradient_, bias_gradient_;
  int calls_ = 0;
};

// Its examples are found by what the option says.
constexpr std::array three_features{OptionSpec{"num_features", OptionType::integer, "3", "of an example", 1}};

template <Flaw flaw>
Result model_result() {
  return result_of<Model, Classifier<flaw>>(three_features);
}

TEST(Conformance, ASoundModelPasses) {
  const Result result = model_result<Flaw::none>();
  EXPECT_EQ(result.failed, Names{}) << result.sentence;
}

TEST(Conformance, AGradientMustBeTheLosss) {
  EXPECT_EQ(model_result<Flaw::no_bias_gradient>().failed, Names{"gradient"});
  EXPECT_CONTAINS(model_result<Flaw::no_bias_gradient>().sentence, "along 'bias' the loss changes by");
  EXPECT_EQ(model_result<Flaw::twice_the_gradient>().failed, Names{"gradient"});
  EXPECT_CONTAINS(model_result<Flaw::twice_the_gradient>().sentence, "along 'weight' the loss changes by");
  EXPECT_EQ(model_result<Flaw::adds_to_the_gradient>().failed, Names{"sets the gradients"});
  EXPECT_CONTAINS(model_result<Flaw::adds_to_the_gradient>().sentence, "'weight'");
}

TEST(Conformance, AModelMayDependOnNothingElse) {
  EXPECT_EQ(model_result<Flaw::counts_calls>().failed[0], "any order");
  EXPECT_EQ(model_result<Flaw::counts_threads>().failed[0], "any number of threads");
  EXPECT_CONTAINS(model_result<Flaw::counts_threads>().sentence, "the gradient is not the same on 1 and on 2");
  EXPECT_EQ(model_result<Flaw::shares_a_number>().failed[0], "several at once");
  EXPECT_CONTAINS(model_result<Flaw::shares_a_number>().sentence, "its objects disturb each other: the gradient");
  EXPECT_EQ(model_result<Flaw::starts_anyhow>().failed, Names{"initialization"});
  EXPECT_EQ(model_result<Flaw::writes_in_gaps>().failed, Names{"initialization"});
}

TEST(Conformance, EvaluationIsOfEachExampleAndChangesNothing) {
  EXPECT_EQ(model_result<Flaw::looks_at_the_batch>().failed, (Names{"evaluation", "evaluation in bf16"}));
  EXPECT_CONTAINS(model_result<Flaw::looks_at_the_batch>().sentence, "by who is beside them");
  EXPECT_CONTAINS(model_result<Flaw::trains_in_evaluation>().sentence, "changes its values or gradients");
  EXPECT_CONTAINS(model_result<Flaw::predicts_some>().sentence, "predicts labels that are not between 0 and 1");
}

TEST(Conformance, AModelRefusesWhatItCannotTake) {
  EXPECT_EQ(model_result<Flaw::takes_anything>().failed[0], "refuses others");
  EXPECT_CONTAINS(model_result<Flaw::takes_anything>().sentence, "lets ");
  EXPECT_EQ(model_result<Flaw::throws_anything>().failed, Names{"takes examples"});
  const Result other = result_of<Model, Classifier<Flaw::none>>();
  EXPECT_EQ(other.failed, Names{"takes examples"});
  EXPECT_CONTAINS(other.sentence, "it takes three features");
}

TEST(Conformance, AModelFindsItsTensorsByTheLayout) {
  EXPECT_EQ(model_result<Flaw::keeps_its_layout>().failed, Names{"other roles"});
  EXPECT_CONTAINS(model_result<Flaw::keeps_its_layout>().sentence, "'weight' should be local");
}

// ---- datasets

enum class Defect {
  none,
  empty,
  label_too_large,
  no_length,
  fewer_labels,
  fewer_names,
  other_labels,
  sorted,
  dice,
  no_digest,
  doubles,
  not_finite,
  changes,
};

template <Defect defect>
class Points final : public Dataset {
 public:
  Points() {
    static int made = 0;
    if (defect == Defect::dice) features_.add_(++made);
    if (defect == Defect::not_finite) features_[5][1] = std::numeric_limits<float>::quiet_NaN();
    if (defect == Defect::label_too_large) labels_[4] = 2;
    if (defect == Defect::no_length) lengths_[3] = 0;
    if (defect == Defect::fewer_labels) labels_.pop_back();
  }
  std::int64_t size(Split split) const override { return split == Split::test || defect == Defect::empty ? 0 : 10; }
  std::span<const std::int64_t> labels(Split split) const override {
    return std::span(labels_).first(split == Split::test ? 0 : labels_.size());
  }
  std::int64_t num_labels() const override { return 2; }
  std::vector<std::string> label_names() const override {
    return defect == Defect::fewer_names ? std::vector<std::string>{"one"} : std::vector<std::string>{"one", "two"};
  }
  std::span<const std::int64_t> lengths(Split split) const override {
    return std::span(lengths_).first(split == Split::test ? 0 : lengths_.size());
  }
  Batch batch(Split, std::span<const std::int64_t> examples) const override {
    std::vector<std::int64_t> rows(examples.begin(), examples.end());
    if (defect == Defect::sorted) std::sort(rows.begin(), rows.end());
    if (defect == Defect::changes) features_.add_(1.0);
    Batch batch{.features = features_.index_select(0, at::tensor(rows, at::kLong)), .labels = at::tensor(rows) % 2};
    if (defect == Defect::other_labels) batch.labels = 1 - batch.labels;
    if (defect == Defect::doubles) batch.features = batch.features.to(at::kDouble);
    return batch;
  }
  std::string digest() const override { return defect == Defect::no_digest ? "" : fedmpi::digest(features_); }

 private:
  mutable at::Tensor features_ = at::arange(20, at::kFloat).view({10, 2});
  std::vector<std::int64_t> labels_{0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
  std::vector<std::int64_t> lengths_ = std::vector<std::int64_t>(10, 1);
};

template <Defect defect>
Result dataset_result() {
  return result_of<Dataset, Points<defect>>();
}

TEST(Conformance, ASoundDatasetPasses) {
  const Result result = dataset_result<Defect::none>();
  EXPECT_EQ(result.failed, Names{}) << result.sentence;
}

TEST(Conformance, ADatasetsFlawsAreFound) {
  EXPECT_EQ(dataset_result<Defect::empty>().failed, Names{"sizes"});
  EXPECT_EQ(dataset_result<Defect::fewer_labels>().failed, Names{"sizes"});
  EXPECT_CONTAINS(dataset_result<Defect::fewer_labels>().sentence, "has 9 labels for 10 train examples");
  EXPECT_CONTAINS(dataset_result<Defect::fewer_names>().sentence, "has 1 names for 2 labels: one for each, or none");
  EXPECT_EQ(dataset_result<Defect::label_too_large>().failed[0], "labels");
  EXPECT_EQ(dataset_result<Defect::no_length>().failed, Names{"lengths"});
  EXPECT_EQ(dataset_result<Defect::other_labels>().failed, Names{"batches"});
  EXPECT_EQ(dataset_result<Defect::doubles>().failed, Names{"batches"});
  EXPECT_EQ(dataset_result<Defect::not_finite>().failed, Names{"batches"});
  EXPECT_EQ(dataset_result<Defect::sorted>().failed, Names{"any order"});
  EXPECT_EQ(dataset_result<Defect::dice>().failed, Names{"same examples again"});
  EXPECT_EQ(dataset_result<Defect::no_digest>().failed, Names{"same examples again"});
  EXPECT_EQ(dataset_result<Defect::changes>().failed[0], "any order");
}

}  // namespace
}  // namespace fedmpi
