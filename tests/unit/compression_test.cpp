#include "compression.hpp"

#include "client.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/experiment.hpp"
#include "host.hpp"
#include "partition.hpp"
#include "small_job.hpp"
#include "temporary_directory.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

constexpr RandomKey key{77};

std::vector<std::byte> encoded(const UpdateCodec& codec, const std::vector<float>& values, RandomKey by = key) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(codec.encoded_bytes(static_cast<std::int64_t>(values.size()))));
  codec.encode(values, by, bytes);
  return bytes;
}

std::vector<float> restored(const UpdateCodec& codec, const std::vector<float>& values, RandomKey by = key) {
  std::vector<float> result(values.size(), std::numeric_limits<float>::quiet_NaN());
  codec.decode(encoded(codec, values, by), result);
  return result;
}

template <class T>
std::vector<T> part(const std::vector<std::byte>& bytes, std::size_t begin, std::size_t count) {
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes.data() + begin, count * sizeof(T));
  return values;
}

std::vector<float> elements(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous().view(-1);
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

// Of all sizes from 1e-12 to 1e12 and both signs.
at::Tensor numbers(std::int64_t size) {
  at::Tensor result = at::empty({size}, at::kFloat);
  RandomStream stream{random_key(3, Purpose::synthetic)};
  for (std::int64_t i = 0; i < size; ++i)
    result.data_ptr<float>()[i] = static_cast<float>(stream.normal() * std::pow(10.0, 24.0 * stream.uniform() - 12.0));
  return result;
}

double mean_of(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

RuleChoice rule(const std::string& text) {
  return small_job({"federation.compression=" + text}).federation.compression;
}

Experiment make_experiment(const std::vector<std::string>& settings) {
  return small_experiment({"training.optimizer=sgd"}, settings);
}

TEST(Bf16Codec, RoundsToTheNearestTiesToEven) {
  const auto codec = make_bf16_codec(Rounding::nearest);
  const std::vector<float> values = {1.0F,        1.0F + 0x1p-8F,    1.0F + 0x3p-8F, 1.0F + 0x1p-8F + 0x1p-20F,
                                     3.14159265F, -1.0F - 0x1.4p-8F, 0.0F,           0x1.ffp127F};
  EXPECT_EQ(part<std::uint16_t>(encoded(*codec, values), 0, 8),
            (std::vector<std::uint16_t>{0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x4049, 0xbf81, 0x0000, 0x7f80}));
  EXPECT_EQ(restored(*codec, {3.14159265F, 1.0F + 0x3p-8F}), (std::vector<float>{3.140625F, 1.015625F}));
  EXPECT_TRUE(std::signbit(restored(*codec, {-0.0F})[0]));
  EXPECT_EQ(encoded(*codec, std::vector<float>(1001)).size(), 2002U);
}

TEST(Bf16Codec, RoundsAsTorchDoes) {
  const at::Tensor values = numbers(200'003);
  EXPECT_EQ(restored(*make_bf16_codec(Rounding::nearest), elements(values)),
            elements(values.to(at::kBFloat16).to(at::kFloat)));
}

TEST(Bf16Codec, StochasticRoundingIsRightInTheMean) {
  const auto codec = make_bf16_codec(Rounding::stochastic);
  constexpr std::size_t count = 40'000;
  for (const float value : {1.0F + 0x1p-9F, -1.0F - 0x1p-9F}) {  // a quarter of the way to the next one
    const std::vector<float> drawn = restored(*codec, std::vector<float>(count, value));
    const float lower = std::copysign(1.0F, value), upper = lower * (1.0F + 0x1p-7F);
    EXPECT_EQ(std::set<float>(drawn.begin(), drawn.end()), (std::set<float>{lower, upper}));
    EXPECT_NEAR(mean_of(drawn), value, 5.0 * 0x1p-7 * std::sqrt(0.25 * 0.75 / count));
  }
  EXPECT_EQ(restored(*codec, {0.5F, -1.0F - 0x1p-7F, 0.0F}), (std::vector<float>{0.5F, -1.0F - 0x1p-7F, 0.0F}));
}

TEST(Int8Codec, ScalesThenWholeNumbers) {
  const auto codec = make_int8_codec(4);
  const std::vector<float> values = {1.0F, -127.0F, 63.5F, 0.0F, -2.54F};
  const std::vector<std::byte> bytes = encoded(*codec, values);
  ASSERT_EQ(bytes.size(), 2 * 4U + 5U);
  EXPECT_EQ(part<float>(bytes, 0, 2), (std::vector<float>{1.0F, 2.54F / 127.0F}));
  std::vector<std::int8_t> codes = part<std::int8_t>(bytes, 8, 5);
  EXPECT_TRUE(codes[2] == 63 || codes[2] == 64) << codes[2];
  codes[2] = 0;
  EXPECT_EQ(codes, (std::vector<std::int8_t>{1, -127, 0, 0, -127}));
  const std::vector<float> back = restored(*codec, values);
  EXPECT_EQ(back[1], -127.0F);
  EXPECT_FLOAT_EQ(back[4], -2.54F);
  // 64 + 1 blocks of 64.
  EXPECT_EQ(make_int8_codec(64)->encoded_bytes(64 * 64 + 1), 4 * 65 + 64 * 64 + 1);
}

TEST(Int8Codec, BlocksOfZerosAndOfTheSmallestNumbersComeBack) {
  const auto codec = make_int8_codec(8);
  EXPECT_EQ(restored(*codec, std::vector<float>(20)), std::vector<float>(20));
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  for (const float value : restored(*codec, {smallest, 0.0F, -200 * smallest, 63 * smallest}))
    EXPECT_LE(std::abs(value), 254 * smallest);
  EXPECT_TRUE(std::isfinite(restored(*codec, {1e38F, -3e38F})[1]));
}

TEST(Int8Codec, IsRightInTheMeanAndNeverOffByAWholeStep) {
  constexpr std::int64_t block_size = 64;
  const auto codec = make_int8_codec(block_size);
  constexpr std::size_t blocks = 2000;
  for (const float value : {10.3F, -10.3F, 0.001F, 126.5F}) {
    std::vector<float> values(blocks * block_size, value);
    for (std::size_t block = 0; block < blocks; ++block) values[block * block_size] = 127.0F;
    const std::vector<float> back = restored(*codec, values);
    std::vector<float> drawn;
    for (std::size_t i = 0; i < back.size(); ++i)
      if (i % block_size != 0) drawn.push_back(back[i]);
    const double rest = std::abs(value) - std::floor(std::abs(value));
    EXPECT_NEAR(mean_of(drawn), value, 5.0 * std::sqrt(rest * (1.0 - rest) / static_cast<double>(drawn.size())));
    for (const float one : drawn) ASSERT_LT(std::abs(one - value), 1.0F);
  }
  // On numbers of all sizes: each within a step of its block's scale, and the mean over keys near the number.
  const std::vector<float> values = elements(numbers(block_size));
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  std::vector<double> mean(values.size());
  constexpr int draws = 4000;
  for (int draw = 0; draw < draws; ++draw) {
    const std::vector<float> back = restored(*codec, values, derive(key, static_cast<std::uint64_t>(draw)));
    for (std::size_t i = 0; i < values.size(); ++i) mean[i] += static_cast<double>(back[i]) / draws;
  }
  const double step = static_cast<double>(largest) / 127.0;
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(mean[i], values[i], 5.0 * 0.5 * step / std::sqrt(draws) + 1e-6 * step) << i;
}

TEST(TopKCodec, KeepsTheLargestAndOfEqualOnesTheFirst) {
  const auto codec = make_top_k_codec(0.5);
  const std::vector<float> values = {0.5F, -3.0F, 2.0F, -2.0F, 0.0F, 2.0F};
  const std::vector<std::byte> bytes = encoded(*codec, values);
  ASSERT_EQ(bytes.size(), 3 * 8U);
  EXPECT_EQ(part<std::uint32_t>(bytes, 0, 3), (std::vector<std::uint32_t>{1, 2, 3}));
  EXPECT_EQ(part<float>(bytes, 12, 3), (std::vector<float>{-3.0F, 2.0F, -2.0F}));
  EXPECT_EQ(restored(*codec, values), (std::vector<float>{0.0F, -3.0F, 2.0F, -2.0F, 0.0F, 0.0F}));
  EXPECT_EQ(restored(*codec, std::vector<float>(6, -1.0F)),
            (std::vector<float>{-1.0F, -1.0F, -1.0F, 0.0F, 0.0F, 0.0F}));
  EXPECT_EQ(restored(*codec, std::vector<float>(6)), std::vector<float>(6));
  EXPECT_EQ(restored(*make_top_k_codec(1.0), values), values);
}

TEST(TopKCodec, KeepsTheRoundedShareAndAtLeastOne) {
  EXPECT_EQ(make_top_k_codec(0.29)->encoded_bytes(100), 8 * 29);
  EXPECT_EQ(make_top_k_codec(0.01)->encoded_bytes(22'713'986), 8 * 227'140);
  EXPECT_EQ(make_top_k_codec(1e-9)->encoded_bytes(42), 8);
  EXPECT_EQ(restored(*make_top_k_codec(1e-9), {1.0F, -5.0F, 2.0F}), (std::vector<float>{0.0F, -5.0F, 0.0F}));
  EXPECT_THROW(make_top_k_codec(0.01)->encoded_bytes((std::int64_t{1} << 32) + 1), Error);
}

TEST(TopKCodec, KeepsWhatTorchFinds) {
  const at::Tensor values = numbers(100'000);
  const at::Tensor largest = std::get<1>(at::topk(values.abs(), 1300));
  const at::Tensor expected = at::zeros_like(values).index_copy_(0, largest, values.index_select(0, largest));
  EXPECT_EQ(restored(*make_top_k_codec(0.013), elements(values)), elements(expected));
}

TEST(Compression, DoesNotDependOnThreads) {
  const at::Tensor values = numbers(300'001).view({1, -1});
  for (const char* text :
       {"bf16", "{ name = \"bf16\", rounding = \"stochastic\" }", "{ name = \"int8\", block_size = 100 }", "top_k"}) {
    Compression compression(rule(text), 1, values.numel());
    at::set_num_threads(1);
    const at::Tensor one = values.clone(), residual = at::zeros_like(one), none;
    const bool has_feedback = std::string(text) == "top_k";
    compression.apply(one, has_feedback ? residual : none, key);
    at::set_num_threads(3);
    const at::Tensor three = values.clone();
    compression.apply(three, has_feedback ? at::zeros_like(three) : none, key);
    EXPECT_TRUE(at::equal(one, three)) << text;
    EXPECT_FALSE(at::equal(one, values)) << text;
  }
  at::set_num_threads(1);
}

TEST(Compression, BytesAreThoseOfTheEncodedRows) {
  EXPECT_EQ(Compression(rule("none"), 2, 1000).bytes(), 2 * 4000);
  EXPECT_EQ(Compression(rule("bf16"), 1, 1000).bytes(), 2000);
  EXPECT_EQ(Compression(rule("int8"), 2, 1000).bytes(), 2 * (1000 + 4 * 16));
  EXPECT_EQ(Compression(rule("top_k"), 2, 1000).bytes(), 2 * 80);
  const at::Tensor values = numbers(10).view({2, 5}), before = values.clone();
  Compression(rule("none"), 2, 5).apply(values, {}, key);
  EXPECT_TRUE(at::equal(values, before));
}

TEST(Compression, EachRowIsCompressedByItself) {
  at::Tensor rows = at::stack({at::full({512}, 0.3F), at::full({512}, 0.3F), at::full({512}, 300.0F)});
  rows.select(1, 0).fill_(1000.0);
  Compression(rule("{ name = \"int8\", block_size = 512 }"), 3, 512).apply(rows, {}, key);
  EXPECT_FALSE(at::equal(rows[0], rows[1])) << "other draws";
  at::Tensor two = at::tensor({5.0F, 1.0F, 0.1F, 0.2F}).view({2, 2});
  Compression(rule("{ name = \"top_k\", fraction = 0.5, error_feedback = false }"), 2, 2).apply(two, {}, key);
  EXPECT_EQ(elements(two), (std::vector<float>{5.0F, 0.0F, 0.0F, 0.2F}));
}

// In whole numbers, so that sums are exact.
TEST(Compression, WithErrorFeedbackAllIsSentInTheEnd) {
  constexpr std::int64_t size = 60;
  Compression compression(rule("{ name = \"top_k\", fraction = 0.1 }"), 2, size);
  ASSERT_EQ(residual_size(rule("top_k"), 2, size), 2 * size);
  EXPECT_EQ(residual_size(rule("{ name = \"top_k\", error_feedback = false }"), 2, size), 0);
  EXPECT_EQ(residual_size(rule("bf16"), 2, size), 0);
  RandomStream stream{random_key(9, Purpose::synthetic)};
  at::Tensor residual = at::zeros({2 * size}), sent = at::zeros({2, size}), wanted = at::zeros({2, size});
  for (int round = 0; round < 40; ++round) {
    at::Tensor updates = at::zeros({2, size});
    if (round < 30)
      for (std::int64_t i = 0; i < 2 * size; ++i)
        updates.data_ptr<float>()[i] = static_cast<float>(static_cast<std::int64_t>(stream.below(2001)) - 1000);
    wanted += updates;
    compression.apply(updates, residual, key);
    EXPECT_EQ(updates.ne(0).sum().item<std::int64_t>() <= 12, true);
    sent += updates;
    ASSERT_TRUE(at::equal(sent + residual.view({2, size}), wanted)) << round;
  }
  EXPECT_TRUE(at::equal(sent, wanted));
  EXPECT_TRUE(at::equal(residual, at::zeros({2 * size})));
}

TEST(Compression, WhatIsNotFiniteIsRefusedAndTheResidualStays) {
  for (const char* text : {"bf16", "int8", "top_k"}) {
    Compression compression(rule(text), 1, 3);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
      EXPECT_THROW(compression.apply(at::tensor({0.0F, bad, 1.0F}).view({1, 3}), {}, key), Error) << text;
  }
  const at::Tensor residual = at::full({3}, 3e38F);
  Compression compression(rule("top_k"), 1, 3);
  EXPECT_THROW(compression.apply(at::full({1, 3}, 3e38F), residual, key), Error);
  EXPECT_TRUE(at::equal(residual, at::full({3}, 3e38F)));
}

TEST(Compression, ErrorFeedbackDoesNotGoWithSumsThatAreKept) {
  const std::vector<std::string> kept_sums = {"checkpoint.within_round_seconds=5"};
  make_experiment({kept_sums[0], "federation.compression=int8"});
  try {
    make_experiment({kept_sums[0], "federation.compression=top_k"});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("federation.compression.error_feedback"), std::string::npos);
  }
}

// A host with what its clients keep, in `directory`.
struct Rank {
  Rank(const std::filesystem::path& directory, const std::vector<std::string>& settings)
      : experiment{make_experiment(settings)},
        partition{make_partition(experiment.job, *experiment.dataset)},
        states{directory, directory,
               kept_sizes(experiment.strategy->exchange(), experiment.model->layout(),
                          experiment.job.federation.compression)
                   .total(),
               4},
        global{at::arange(experiment.model->layout().size(), at::kFloat).sin().mul(0.1)},
        vectors{at::zeros(
            {experiment.strategy->exchange().num_server_vectors, experiment.model->layout().shared_parameters_size()})},
        host{experiment, partition, states} {}
  void fit(int round, const std::vector<std::int64_t>& clients) {
    host.begin_round(round, 4);
    host.fit(clients, global, vectors, [](std::int64_t) {});
    for (const ClientKept& kept : host.outcome().kept) states.set(kept.client, kept.state);
  }
  std::int64_t parameters() const { return experiment.model->layout().shared_parameters_size(); }

  Experiment experiment;
  Partition partition;
  ClientStates states;
  at::Tensor global, vectors;
  Host host;
};

// SCAFFOLD's clients send two vectors and keep one beside what error feedback does.
TEST(Compression, AHostSumsWhatTheReceiverRestoresAndKeepsTheRest) {
  const TemporaryDirectory directory;
  const std::vector<std::string> settings = {"strategy.name=scaffold",
                                             "federation.compression={ name = \"top_k\", fraction = 0.1 }"};
  Rank rank(directory.path(), settings);
  const std::int64_t size = rank.parameters(), sent = 6;
  ASSERT_EQ(size, 48 + 16);  // 2 x 20 and 2, each to a multiple of 16
  EXPECT_EQ(rank.host.update_bytes(), 2 * sent * 8);
  const Experiment same = make_experiment(settings);
  ClientTrainer trainer(same.job, *same.model, *same.dataset, *same.strategy);
  at::Tensor kept = at::zeros({3 * size});
  for (const int round : {1, 2, 5}) {
    trainer.fit({.client = 2,
                 .round = round,
                 .examples = rank.partition.train[2],
                 .global = rank.global,
                 .server_vectors = rank.vectors,
                 .kept = kept,
                 .is_first = round == 1},
                [](std::int64_t) {});
    // By hand: the six largest of what there is to send.
    const at::Tensor wanted = trainer.updates() + kept.narrow(0, size, 2 * size).view({2, size});
    at::Tensor expected = at::zeros({2, size});
    for (int row = 0; row < 2; ++row) {
      const at::Tensor largest = std::get<1>(at::topk(wanted[row].abs(), sent));
      expected[row].index_copy_(0, largest, wanted[row].index_select(0, largest));
    }
    kept.narrow(0, size, 2 * size).copy_((wanted - expected).view(-1));

    rank.fit(round, {2});
    ASSERT_TRUE(rank.host.outcome().failures.empty()) << rank.host.outcome().failures[0].message;
    const at::Tensor mean = rank.host.sum().mean(rank.host.outcome().records[0].weight);
    EXPECT_LT((mean.view({2, size}) - expected).abs().max().item<float>(), 1e-8F) << round;
    EXPECT_TRUE(at::equal(rank.states.read(2), kept)) << round;
  }
}

TEST(Compression, DrawsDependOnTheClientAndTheRoundAlone) {
  const TemporaryDirectory directory;
  const std::vector<std::string> settings = {"federation.compression=int8"};
  Rank one(directory.path(), settings), other(directory.path(), settings), whole(directory.path(), {});
  one.fit(3, {0, 1, 2});
  other.fit(1, {3});
  other.fit(3, {2, 0, 1});
  whole.fit(3, {0, 1, 2});
  EXPECT_TRUE(at::equal(one.host.sum().sum(), other.host.sum().sum()));
  EXPECT_FALSE(at::equal(one.host.sum().sum(), whole.host.sum().sum()));
  // A step is a 127th of the largest element of a client's update.
  const at::Tensor difference = one.host.sum().mean(1.0) - whole.host.sum().mean(1.0);
  EXPECT_LT(difference.abs().max().item<float>(), whole.host.sum().mean(1.0).abs().max().item<float>() * 0.05F);
}

TEST(Compression, AStrategyOnSlicesGetsTheRestoredUpdate) {
  const TemporaryDirectory directory;
  Rank rank(directory.path(), {"strategy.name=fedmedian", "federation.compression=bf16"}),
      whole(directory.path(), {"strategy.name=fedmedian"});
  rank.fit(1, {1});
  whole.fit(1, {1});
  const std::int64_t size = rank.parameters();
  at::Tensor update = at::empty({size}), expected = at::empty({size});
  rank.host.spool().read(0, 0, size, update.data_ptr<float>());
  whole.host.spool().read(0, 0, size, expected.data_ptr<float>());
  EXPECT_TRUE(at::equal(update, expected.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_FALSE(at::equal(update, expected));
}

TEST(Compression, AnUpdateThatIsTooLargeFailsItsClientAsWithout) {
  for (const char* text : {"none", "bf16", "int8", "top_k"}) {
    const TemporaryDirectory directory;
    Rank rank(directory.path(),
              {"training.learning_rate=1e30", "training.batch_size=64", std::string("federation.compression=") + text});
    rank.fit(1, {1});
    ASSERT_EQ(rank.host.outcome().failures.size(), 1U) << text;
    EXPECT_TRUE(rank.host.outcome().failures[0].message.starts_with("the update holds an element")) << text;
    EXPECT_TRUE(std::filesystem::is_empty(directory.path())) << text;
    EXPECT_TRUE(at::equal(rank.host.sum().sum(), at::zeros_like(rank.host.sum().sum()))) << text;
  }
}

}  // namespace
}  // namespace fedmpi
