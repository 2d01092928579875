#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/options.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/shard.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace {

using fedmpi::FileError;
using fedmpi::Shard;
using fedmpi::Split;

// Tokenized texts from the shards of a directory (data/README.md), held in memory as they are in the files.
class Hdf5Text final : public fedmpi::Dataset {
 public:
  explicit Hdf5Text(const fedmpi::Options& options)
      : directory_{options.get<std::string>("path")},
        max_tokens_{options.get<std::int64_t>("max_tokens")},
        cuts_left_{options.get<std::string>("truncation_side") == "left"} {
    if (max_tokens_ == 1)
      throw fedmpi::UserError("data.max_tokens = 1 leaves no room for [CLS] and [SEP]: give at least 2");
    train_ = load("train");
    test_ = load("test");
    // Two runs on other cuts of one text are runs on other data.
    digest_ = fedmpi::digest(train_.digest + test_.digest + std::to_string(max_tokens_) + (cuts_left_ ? "left" : ""));
  }

  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(part(split).labels.size()); }
  std::span<const std::int64_t> labels(Split split) const override { return part(split).labels; }
  std::int64_t num_labels() const override { return num_labels_; }
  std::vector<std::string> label_names() const override { return label_names_; }
  std::span<const std::int64_t> lengths(Split split) const override { return part(split).lengths; }
  std::string digest() const override { return digest_; }
  std::string vocabulary_digest() const override { return vocabulary_digest_; }

  fedmpi::Batch batch(Split split, std::span<const std::int64_t> examples) const override {
    const Part& from = part(split);
    const auto count = static_cast<std::int64_t>(examples.size());
    fedmpi::Batch batch{.offsets = at::empty({count + 1}, at::kLong), .labels = at::empty({count}, at::kLong)};
    auto* offset = batch.offsets.data_ptr<std::int64_t>();
    auto* label = batch.labels.data_ptr<std::int64_t>();
    *offset = 0;
    for (const std::int64_t example : examples) {
      offset[1] = offset[0] + from.lengths[static_cast<std::size_t>(example)];
      ++offset;
      *label++ = from.labels[static_cast<std::size_t>(example)];
    }
    batch.tokens = at::empty({*offset}, at::kInt);
    auto* token = batch.tokens.data_ptr<std::int32_t>();
    for (const std::int64_t example : examples) {
      const auto index = static_cast<std::size_t>(example);
      const std::int32_t* text = from.texts[index];
      const std::int64_t length = from.lengths[index], whole_length = from.whole_lengths[index];
      // A text that is cut keeps [CLS] and [SEP], as with a tokenizer's own truncation.
      token[0] = text[0];
      std::copy_n(cuts_left_ ? text + whole_length - length + 1 : text + 1, length - 2, token + 1);
      token[length - 1] = text[whole_length - 1];
      token += length;
    }
    return batch;
  }

 private:
  struct Part {
    std::vector<Shard> shards;
    std::vector<const std::int32_t*> texts;  // into the shards
    std::vector<std::int64_t> whole_lengths, lengths, labels;
    std::string digest;
  };

  Part load(const std::string& split) {
    Part part;
    std::string digests;
    for (const auto& path : fedmpi::find_shards(directory_, split)) {
      part.shards.push_back(fedmpi::read_shard(path));
      const Shard& shard = part.shards.back();
      check_alike(shard, part.shards.front(), path);
      const auto* tokens = shard.tokens.const_data_ptr<std::int32_t>();
      const auto* offsets = shard.offsets.const_data_ptr<std::int64_t>();
      const auto* labels = shard.labels.const_data_ptr<std::int64_t>();
      for (std::int64_t i = 0; i < shard.labels.numel(); ++i) {
        const std::int64_t length = offsets[i + 1] - offsets[i];
        if (length < 2)
          throw FileError(
              fmt::format("{}: example {} has {} tokens, fewer than [CLS] and [SEP]: prepare the data again",
                          path.string(), i, length),
              path);
        part.texts.push_back(tokens + offsets[i]);
        part.whole_lengths.push_back(length);
        part.lengths.push_back(max_tokens_ == 0 ? length : std::min(length, max_tokens_));
        part.labels.push_back(labels[i]);
      }
      digests += fedmpi::digest(shard.tokens) + fedmpi::digest(shard.offsets) + fedmpi::digest(shard.labels);
      if (shard.keys.defined()) digests += fedmpi::digest(shard.keys);
    }
    part.digest = fedmpi::digest(digests);
    return part;
  }

  // With those of both splits, and with the first of its split.
  void check_alike(const Shard& shard, const Shard& first_of_split, const std::filesystem::path& path) {
    const auto provenance = [](const Shard& of, std::string_view key) {
      for (const auto& [name, value] : of.provenance)
        if (name == key) return value;
      return std::string();
    };
    const std::string preparation =
        fmt::format("{};{};{};{};{};{};{};{};{}", shard.num_labels, shard.vocabulary_size, shard.vocabulary_digest,
                    provenance(shard, "lower_case"), provenance(shard, "max_tokens"), provenance(shard, "seed"),
                    provenance(shard, "label_names"), provenance(shard, "key_names"), shard.keys.defined());
    if (preparation_.empty()) {
      preparation_ = preparation;
      num_labels_ = shard.num_labels;
      label_names_ = fedmpi::label_names(shard, path);
      vocabulary_digest_ = shard.vocabulary_digest;
    }
    if (preparation != preparation_ || provenance(shard, "texts_digest") != provenance(first_of_split, "texts_digest"))
      throw FileError(fmt::format("{} comes from another preparation (vocabulary, labels, options or texts) than the "
                                  "shards beside it: prepare the data again into one directory",
                                  path.string()),
                      path);
  }

  const Part& part(Split split) const { return split == Split::train ? train_ : test_; }

  std::filesystem::path directory_;
  std::int64_t max_tokens_;
  bool cuts_left_;
  std::int64_t num_labels_ = 0;
  std::vector<std::string> label_names_;
  std::string preparation_, vocabulary_digest_, digest_;
  Part train_, test_;
};

using fedmpi::OptionType;
constexpr double any = std::numeric_limits<double>::infinity();
constexpr std::array options{
    fedmpi::OptionSpec{"path", OptionType::string, nullptr, "directory that `fedmpi prepare` wrote"},
    fedmpi::OptionSpec{"max_tokens", OptionType::integer, "0",
                       "cut texts to this many tokens, [CLS] and [SEP] included; 0: as prepared", 0, 1e6},
    fedmpi::OptionSpec{"truncation_side", OptionType::string, "right",
                       "which end of a text is cut: right keeps how it begins, left how it ends", -any, any,
                       "right|left"},
};

}  // namespace

FEDMPI_PLUGIN(Dataset, Hdf5Text, "hdf5_text", "1.0", "tokenized texts from HDF5 shards", options)
