#include "prepare.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/progress.hpp"
#include "fedmpi/random.hpp"
#include "fedmpi/shard.hpp"
#include "interruption.hpp"
#include "review_archive.hpp"
#include "staged_output.hpp"
#include "table_source.hpp"
#include "tokenizer_pool.hpp"
#include "vocabulary.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <thread>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::int64_t min_max_tokens = 3;  // [CLS], one piece, [SEP]
constexpr std::int64_t max_max_tokens = 8192;
constexpr int max_shards = 99'999;  // five digits in a file name
constexpr int max_threads = 1024;

using Examples = std::span<const TokenizedExample>;

void check_range(std::int64_t value, std::int64_t low, std::int64_t high, const char* name) {
  if (value < low || value > high) throw UserError(fmt::format("{} must be in {}..{}, not {}", name, low, high, value));
}

void check_settings(const PrepareSettings& settings) {
  check_range(settings.max_tokens, min_max_tokens, max_max_tokens, "--max-tokens");
  check_range(settings.shards, 1, max_shards, "--shards");
  check_range(settings.threads, 0, max_threads, "--threads");
}

int num_threads(const PrepareSettings& settings) {
  if (settings.threads > 0) return settings.threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, max_threads);
}

void read_all(ExampleSource& source, TokenizerPool& pool, const Interruption& interruption, bool show) {
  constexpr std::int64_t kilobyte = 1024;
  Progress progress("Tokenizing", source.total_bytes() / kilobyte, "KB", show);
  std::int64_t shown = 0;
  for (Example example; source.next(example);) {
    interruption.check();
    pool.add(std::move(example));
    const std::int64_t read = source.bytes_read() / kilobyte;
    progress.advance(read - shown);
    shown = read;
  }
}

// Those of one split, which lie together.
Examples split_of(const std::vector<TokenizedExample>& all, Split split) {
  const auto in_train = [](const TokenizedExample& example) { return example.name.split == Split::train; };
  const auto boundary = std::partition_point(all.begin(), all.end(), in_train);
  return split == Split::train ? Examples(all.begin(), boundary) : Examples(boundary, all.end());
}

std::string digest_of_texts(Examples examples, const ExampleSource& source) {
  Digest digest;
  for (const TokenizedExample& example : examples)
    digest.add(source.describe(example.name) + " " + example.text_digest + "\n");
  return digest.hex();
}

SplitSummary summarize(Examples examples) {
  SplitSummary summary;
  for (const TokenizedExample& example : examples) {
    const auto size = static_cast<std::int64_t>(example.tokens.size());
    ++summary.num_examples;
    summary.num_tokens += size;
    summary.longest_tokens = std::max(summary.longest_tokens, size);
    summary.num_truncated += example.cut ? 1 : 0;
  }
  return summary;
}

// The examples that `order` names, as tensors.
void fill_shard(Shard& shard, Examples examples, std::span<const std::int64_t> order, bool has_keys) {
  const auto count = static_cast<std::int64_t>(order.size());
  std::int64_t total = 0;
  for (const std::int64_t i : order)
    total += static_cast<std::int64_t>(examples[static_cast<std::size_t>(i)].tokens.size());
  shard.tokens = at::empty({total}, at::kInt);
  shard.offsets = at::empty({count + 1}, at::kLong);
  shard.labels = at::empty({count}, at::kLong);
  if (has_keys) shard.keys = at::empty({count}, at::kLong);
  std::int32_t* const tokens = shard.tokens.mutable_data_ptr<std::int32_t>();
  std::int64_t* const offsets = shard.offsets.mutable_data_ptr<std::int64_t>();
  std::int64_t* const labels = shard.labels.mutable_data_ptr<std::int64_t>();
  std::int64_t* const keys = has_keys ? shard.keys.mutable_data_ptr<std::int64_t>() : nullptr;
  std::int64_t at = 0;
  for (std::int64_t row = 0; row < count; ++row) {
    const TokenizedExample& example = examples[static_cast<std::size_t>(order[static_cast<std::size_t>(row)])];
    offsets[row] = at;
    labels[row] = example.name.label;
    if (has_keys) keys[row] = example.key;
    std::copy(example.tokens.begin(), example.tokens.end(), tokens + at);
    at += static_cast<std::int64_t>(example.tokens.size());
  }
  offsets[count] = at;
}

std::vector<std::int64_t> shuffled(std::size_t count, std::uint64_t seed, Split split) {
  std::vector<std::int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  RandomStream(derive(random_key(seed, Purpose::prepare), split == Split::train ? 0 : 1)).shuffle(order);
  return order;
}

// Writes the shards of a split and returns their names, in order.
std::vector<std::string> write_split(const PrepareSettings& settings, Split split, Examples examples,
                                     const ExampleSource& source, Shard& shard, const std::filesystem::path& directory,
                                     const Interruption& interruption) {
  const std::string name = split == Split::train ? "train" : "test";
  const auto count = static_cast<std::size_t>(settings.shards);
  if (count > examples.size()) {
    throw UserError(fmt::format("--shards {} is more than the {} {} examples", count, examples.size(), name));
  }
  shard.provenance["texts_digest"] = digest_of_texts(examples, source);
  const std::vector<std::int64_t> order = shuffled(examples.size(), settings.seed, split);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    interruption.check();
    const std::size_t first = examples.size() * i / count;
    const std::size_t last = examples.size() * (i + 1) / count;
    fill_shard(shard, examples, std::span(order).subspan(first, last - first), source.has_keys());
    names.push_back(count == 1 ? name + ".h5" : fmt::format("{}-{:05}.h5", name, i));
    write_shard(directory / names.back(), shard);
  }
  return names;
}

Shard describe(const PrepareSettings& settings, const Vocabulary& vocabulary, const ExampleSource& source) {
  Shard shard;
  shard.vocabulary_size = vocabulary.size();
  shard.num_labels = source.num_labels();
  shard.vocabulary_digest = vocabulary.digest();
  shard.provenance = {{"max_tokens", std::to_string(settings.max_tokens)},
                      {"lower_case", settings.lower_case ? "true" : "false"},
                      {"seed", std::to_string(settings.seed)},
                      {"tool_version", FEDMPI_VERSION}};
  shard.provenance.merge(source.provenance());
  return shard;
}

PrepareSummary prepare(const PrepareSettings& settings, const std::function<std::unique_ptr<ExampleSource>()>& open) {
  const auto start = std::chrono::steady_clock::now();
  check_settings(settings);
  const Vocabulary vocabulary(settings.vocabulary);
  const std::unique_ptr<ExampleSource> source = open();
  const Interruption interruption;  // outlives the output: a signal ends the process once that is put away
  StagedOutput output(settings.output, StagedOutput::Refused::shards);

  TokenizerPool pool(vocabulary, settings.lower_case, settings.max_tokens, num_threads(settings));
  read_all(*source, pool, interruption, settings.progress);
  std::vector<TokenizedExample> all = pool.finish();
  source->settle(all);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const Examples train = split_of(all, Split::train), test = split_of(all, Split::test);

  Shard shard = describe(settings, vocabulary, *source);
  const auto write = [&](Split split, Examples examples) {
    return write_split(settings, split, examples, *source, shard, output.staging(), interruption);
  };
  std::vector<std::string> names = write(Split::train, train);
  const auto more = write(Split::test, test);
  interruption.check();
  // The first test shard comes last: without it no directory of shards is complete.
  std::vector<std::string> moves = names;
  moves.insert(moves.end(), more.rbegin(), more.rend());
  output.commit(moves);
  names.insert(names.end(), more.begin(), more.end());

  PrepareSummary summary{summarize(train), summarize(test), {}, 0};
  for (const std::string& name : names) summary.files.push_back(settings.output / name);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace

PrepareSummary prepare_imdb(const std::filesystem::path& source, const PrepareSettings& settings) {
  return prepare(settings, [&] { return open_reviews(source); });
}

PrepareSummary prepare_table(const TableSettings& table, const PrepareSettings& settings) {
  return prepare(settings, [&] { return open_table(table, settings.seed); });
}

}  // namespace fedmpi
