#include "prepare.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/progress.hpp"
#include "fedmpi/random.hpp"
#include "fedmpi/shard.hpp"
#include "interruption.hpp"
#include "review_archive.hpp"
#include "staged_output.hpp"
#include "tokenizer_pool.hpp"
#include "vocabulary.hpp"

#include <algorithm>
#include <chrono>
#include <map>
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
constexpr std::int64_t num_labels = 2;

using Reviews = std::span<const TokenizedReview>;

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

void read_all(ReviewSource& source, TokenizerPool& pool, const Interruption& interruption, bool show) {
  constexpr std::int64_t kilobyte = 1024;
  Progress progress("Tokenizing", source.total_bytes() / kilobyte, "KB", show);
  std::int64_t shown = 0;
  for (Review review; source.next(review);) {
    interruption.check();
    pool.add(std::move(review));
    const std::int64_t read = source.bytes_read() / kilobyte;
    progress.advance(read - shown);
    shown = read;
  }
}

// The reviews of one split, which lie together. Each label must occur.
Reviews split_of(const std::vector<TokenizedReview>& all, Split split, const std::filesystem::path& source) {
  for (const int label : {0, 1}) {
    const bool found = std::any_of(all.begin(), all.end(), [&](const TokenizedReview& review) {
      return review.key.split == split && review.key.label == label;
    });
    if (found) continue;
    const std::string path =
        fmt::format("{}/{}/<id>_<rating>.txt", split == Split::train ? "train" : "test", label == 1 ? "pos" : "neg");
    throw FileError(
        fmt::format("{}: holds no review; looked for {}, alone or under one directory", source.string(), path), source);
  }
  const auto in_train = [](const TokenizedReview& review) { return review.key.split == Split::train; };
  const auto boundary = std::partition_point(all.begin(), all.end(), in_train);
  return split == Split::train ? Reviews(all.begin(), boundary) : Reviews(boundary, all.end());
}

void refuse_duplicates(const std::vector<TokenizedReview>& sorted, const std::filesystem::path& source) {
  const auto same = [](const TokenizedReview& a, const TokenizedReview& b) { return a.key == b.key; };
  const auto found = std::adjacent_find(sorted.begin(), sorted.end(), same);
  if (found == sorted.end()) return;
  throw FileError(fmt::format("{}: holds two reviews {}", source.string(), to_string(found->key)), source);
}

std::string digest_of_texts(Reviews reviews) {
  Digest digest;
  for (const TokenizedReview& review : reviews) digest.add(to_string(review.key) + " " + review.text_digest + "\n");
  return digest.hex();
}

SplitSummary summarize(Reviews reviews) {
  SplitSummary summary;
  for (const TokenizedReview& review : reviews) {
    const auto size = static_cast<std::int64_t>(review.tokens.size());
    ++summary.num_examples;
    summary.num_tokens += size;
    summary.longest_tokens = std::max(summary.longest_tokens, size);
    summary.num_truncated += review.cut ? 1 : 0;
  }
  return summary;
}

// The examples that `order` names, as tensors.
void fill_shard(Shard& shard, Reviews reviews, std::span<const std::int64_t> order) {
  const auto count = static_cast<std::int64_t>(order.size());
  std::int64_t total = 0;
  for (const std::int64_t i : order)
    total += static_cast<std::int64_t>(reviews[static_cast<std::size_t>(i)].tokens.size());
  shard.tokens = at::empty({total}, at::kInt);
  shard.offsets = at::empty({count + 1}, at::kLong);
  shard.labels = at::empty({count}, at::kLong);
  std::int32_t* const tokens = shard.tokens.mutable_data_ptr<std::int32_t>();
  std::int64_t* const offsets = shard.offsets.mutable_data_ptr<std::int64_t>();
  std::int64_t* const labels = shard.labels.mutable_data_ptr<std::int64_t>();
  std::int64_t at = 0;
  for (std::int64_t row = 0; row < count; ++row) {
    const TokenizedReview& review = reviews[static_cast<std::size_t>(order[static_cast<std::size_t>(row)])];
    offsets[row] = at;
    labels[row] = review.key.label;
    std::copy(review.tokens.begin(), review.tokens.end(), tokens + at);
    at += static_cast<std::int64_t>(review.tokens.size());
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
std::vector<std::string> write_split(const PrepareSettings& settings, Split split, Reviews reviews, Shard& shard,
                                     const std::filesystem::path& directory, const Interruption& interruption) {
  const std::string name = split == Split::train ? "train" : "test";
  const auto count = static_cast<std::size_t>(settings.shards);
  if (count > reviews.size()) {
    throw UserError(fmt::format("--shards {} is more than the {} {} reviews", count, reviews.size(), name));
  }
  shard.provenance["texts_digest"] = digest_of_texts(reviews);
  const std::vector<std::int64_t> order = shuffled(reviews.size(), settings.seed, split);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    interruption.check();
    const std::size_t first = reviews.size() * i / count;
    const std::size_t last = reviews.size() * (i + 1) / count;
    fill_shard(shard, reviews, std::span(order).subspan(first, last - first));
    names.push_back(count == 1 ? name + ".h5" : fmt::format("{}-{:05}.h5", name, i));
    write_shard(directory / names.back(), shard);
  }
  return names;
}

Shard describe(const PrepareSettings& settings, const Vocabulary& vocabulary) {
  Shard shard;
  shard.vocabulary_size = vocabulary.size();
  shard.num_labels = num_labels;
  shard.vocabulary_digest = vocabulary.digest();
  const auto source = settings.source.has_filename() ? settings.source : settings.source.parent_path();
  shard.provenance = {{"source", source.filename().string()},
                      {"max_tokens", std::to_string(settings.max_tokens)},
                      {"lower_case", settings.lower_case ? "true" : "false"},
                      {"seed", std::to_string(settings.seed)},
                      {"tool_version", FEDMPI_VERSION}};
  return shard;
}

}  // namespace

PrepareSummary prepare_imdb(const PrepareSettings& settings) {
  const auto start = std::chrono::steady_clock::now();
  check_settings(settings);
  const Vocabulary vocabulary(settings.vocabulary);
  const std::unique_ptr<ReviewSource> source = open_reviews(settings.source);
  const Interruption interruption;  // outlives the output: a signal ends the process once that is put away
  StagedOutput output(settings.output);

  TokenizerPool pool(vocabulary, settings.lower_case, settings.max_tokens, num_threads(settings));
  read_all(*source, pool, interruption, settings.progress);
  const std::vector<TokenizedReview> all = pool.finish();
  refuse_duplicates(all, settings.source);
  const Reviews train = split_of(all, Split::train, settings.source);
  const Reviews test = split_of(all, Split::test, settings.source);

  Shard shard = describe(settings, vocabulary);
  std::vector<std::string> names = write_split(settings, Split::train, train, shard, output.staging(), interruption);
  const auto more = write_split(settings, Split::test, test, shard, output.staging(), interruption);
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

}  // namespace fedmpi
