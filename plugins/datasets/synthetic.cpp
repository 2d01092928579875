#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/options.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/random.hpp"

#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

using fedmpi::RandomKey;
using fedmpi::RandomStream;
using fedmpi::Split;

// Made-up dense examples: each label has a random centre, each example is its label's centre plus N(0, noise^2).
class Synthetic final : public fedmpi::Dataset {
 public:
  explicit Synthetic(const fedmpi::Options& options)
      : num_features_{options.get<std::int64_t>("num_features")},
        num_labels_{options.get<std::int64_t>("num_labels")},
        noise_{options.get<double>("noise")} {
    const RandomKey key =
        fedmpi::random_key(static_cast<std::uint64_t>(options.get<std::int64_t>("seed")), fedmpi::Purpose::synthetic);
    RandomStream centre_stream{derive(key, 0)};
    std::vector<double> centres(static_cast<std::size_t>(num_labels_ * num_features_));
    for (double& value : centres) value = centre_stream.normal();
    train_ = make(options.get<std::int64_t>("train_examples"), centres, RandomStream{derive(key, 1)});
    test_ = make(options.get<std::int64_t>("test_examples"), centres, RandomStream{derive(key, 2)});
    const auto num_keys = static_cast<std::uint64_t>(options.get<std::int64_t>("num_keys"));
    draw_keys(train_, num_keys, RandomStream{derive(key, 3)});
    draw_keys(test_, num_keys, RandomStream{derive(key, 4)});
  }

  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(part(split).labels.size()); }
  std::span<const std::int64_t> labels(Split split) const override { return part(split).labels; }
  std::int64_t num_labels() const override { return num_labels_; }
  std::span<const std::int64_t> lengths(Split split) const override { return part(split).lengths; }
  std::span<const std::int64_t> keys(Split split) const override { return part(split).keys; }

  fedmpi::Batch batch(Split split, std::span<const std::int64_t> examples) const override {
    const Part& from = part(split);
    const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(examples.data(), examples.size()), at::kLong);
    return {.features = from.features.index_select(0, index), .labels = from.label_tensor.index_select(0, index)};
  }

  std::string digest() const override {
    std::string all;
    for (const Part* part : {&train_, &test_}) {
      all += fedmpi::digest(part->features) + fedmpi::digest(part->label_tensor);
      if (!part->keys.empty()) all += fedmpi::digest(at::tensor(part->keys, at::kLong));
    }
    return fedmpi::digest(all);
  }

 private:
  struct Part {
    at::Tensor features, label_tensor;
    std::vector<std::int64_t> labels, lengths, keys;
  };

  Part make(std::int64_t size, const std::vector<double>& centres, RandomStream stream) const {
    Part part{.features = at::empty({size, num_features_}, at::kFloat),
              .label_tensor = at::empty({size}, at::kLong),
              .labels = {},
              .lengths = std::vector<std::int64_t>(static_cast<std::size_t>(size), 1),
              .keys = {}};
    auto* feature = part.features.data_ptr<float>();
    for (std::int64_t i = 0; i < size; ++i) {
      const auto label = static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(num_labels_)));
      part.labels.push_back(label);
      part.label_tensor[i] = label;
      for (std::int64_t j = 0; j < num_features_; ++j)
        *feature++ =
            static_cast<float>(centres[static_cast<std::size_t>(label * num_features_ + j)] + noise_ * stream.normal());
    }
    return part;
  }

  static void draw_keys(Part& part, std::uint64_t num_keys, RandomStream stream) {
    for (std::size_t i = 0; num_keys > 0 && i < part.labels.size(); ++i)
      part.keys.push_back(static_cast<std::int64_t>(stream.below(num_keys)));
  }

  const Part& part(Split split) const { return split == Split::train ? train_ : test_; }

  std::int64_t num_features_;
  std::int64_t num_labels_;
  double noise_;
  Part train_, test_;
};

using fedmpi::OptionType;
constexpr std::array options{
    fedmpi::OptionSpec{"num_features", OptionType::integer, "20", "numbers in an example", 1, 1e6},
    fedmpi::OptionSpec{"num_labels", OptionType::integer, "2", "classes", 2, 1e4},
    fedmpi::OptionSpec{"train_examples", OptionType::integer, "2000", "examples of the train split", 1, 1e8},
    fedmpi::OptionSpec{"test_examples", OptionType::integer, "500", "examples of the test split", 1, 1e8},
    fedmpi::OptionSpec{"noise", OptionType::number, "2.0", "standard deviation around a label's centre", 0, 1e6},
    fedmpi::OptionSpec{"num_keys", OptionType::integer, "0", "natural ids, dealt out at random; 0: examples have none",
                       0, 1e9},
    fedmpi::OptionSpec{"seed", OptionType::integer, "1", "of the made-up data, apart from the run's", 0},
};

}  // namespace

FEDMPI_PLUGIN(Dataset, Synthetic, "synthetic", "1.0", "made-up dense examples around one centre a label", options)
