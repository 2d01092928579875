#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/random.hpp"

#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

using fedmpi::Split;

// Made-up points around the origin; a point's label says whether the sum of its coordinates is positive.
class MyDataset final : public fedmpi::Dataset {
 public:
  explicit MyDataset(const fedmpi::Options& options) {
    fill(Split::train, options.get<std::int64_t>("train_examples"), options.get<std::int64_t>("num_features"));
    fill(Split::test, options.get<std::int64_t>("test_examples"), options.get<std::int64_t>("num_features"));
  }

  std::int64_t size(Split split) const override { return features_[index(split)].size(0); }
  std::span<const std::int64_t> labels(Split split) const override {
    return {labels_[index(split)].const_data_ptr<std::int64_t>(), lengths_[index(split)].size()};
  }
  std::int64_t num_labels() const override { return 2; }
  std::span<const std::int64_t> lengths(Split split) const override { return lengths_[index(split)]; }

  fedmpi::Batch batch(Split split, std::span<const std::int64_t> examples) const override {
    const at::Tensor chosen = at::tensor(at::ArrayRef<std::int64_t>(examples.data(), examples.size()), at::kLong);
    fedmpi::Batch batch;
    batch.features = features_[index(split)].index_select(0, chosen);
    batch.labels = labels_[index(split)].index_select(0, chosen);
    return batch;
  }

  // The labels follow from the features.
  std::string digest() const override {
    return fedmpi::digest(fedmpi::digest(features_[0]) + fedmpi::digest(features_[1]));
  }

 private:
  static std::size_t index(Split split) { return static_cast<std::size_t>(split); }

  void fill(Split split, std::int64_t num_examples, std::int64_t num_features) {
    fedmpi::RandomStream random(derive(fedmpi::random_key(1, fedmpi::Purpose::synthetic), index(split)));
    features_[index(split)] = at::empty({num_examples, num_features}, at::kFloat);
    labels_[index(split)] = at::empty({num_examples}, at::kLong);
    lengths_[index(split)].assign(static_cast<std::size_t>(num_examples), 1);
    auto* feature = features_[index(split)].mutable_data_ptr<float>();
    auto* label = labels_[index(split)].mutable_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < num_examples; ++i) {
      float sum = 0.0F;
      for (std::int64_t j = 0; j < num_features; ++j) sum += * feature++ = static_cast<float>(random.normal());
      *label++ = sum > 0.0F ? 1 : 0;
    }
  }

  std::array<at::Tensor, 2> features_, labels_;
  std::array<std::vector<std::int64_t>, 2> lengths_;
};

constexpr std::array options{
    fedmpi::OptionSpec{.name = "num_features",
                       .type = fedmpi::OptionType::integer,
                       .default_value = "20",
                       .help = "numbers in an example",
                       .minimum = 1,
                       .maximum = 1e6},
    fedmpi::OptionSpec{.name = "train_examples",
                       .type = fedmpi::OptionType::integer,
                       .default_value = "2000",
                       .help = "examples of the train split",
                       .minimum = 1,
                       .maximum = 1e8},
    fedmpi::OptionSpec{.name = "test_examples",
                       .type = fedmpi::OptionType::integer,
                       .default_value = "500",
                       .help = "examples of the test split",
                       .minimum = 1,
                       .maximum = 1e8},
};

}  // namespace

FEDMPI_PLUGIN(Dataset, MyDataset, "my_dataset", "1.0", "made-up points on either side of a plane", options)
