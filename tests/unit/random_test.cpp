#include "fedmpi/random.hpp"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// Vectors published with the algorithm (Random123, kat_vectors, "philox4x32 10").
TEST(Philox, MatchesPublishedVectors) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox(0, {0, 0, 0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ULL, {~0U, ~0U, ~0U, ~0U}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0'a4093822ULL, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomKey, DiffersInEveryPart) {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const Purpose purpose : {Purpose::shuffle, Purpose::dropout})
      for (int round = 0; round < 4; ++round)
        for (int client = -1; client < 4; ++client) keys.insert(random_key(seed, purpose, round, client).value);
  EXPECT_EQ(keys.size(), 4U * 2 * 4 * 5);
}

TEST(RandomStream, WordsManyAtATimeAreTheSame) {
  const RandomKey key = random_key(4, Purpose::compression, 1, 2);
  RandomStream stream{key};
  std::vector<std::uint32_t> expected(203), words(203), later(195);
  for (std::uint32_t& word : expected) word = stream.next();
  random_words(key, 0, words);
  random_words(key, 2, later);
  EXPECT_EQ(words, expected);
  EXPECT_EQ(later, std::vector<std::uint32_t>(expected.begin() + 8, expected.end()));
}

TEST(RandomStream, BelowIsUniform) {
  RandomStream stream{random_key(1, Purpose::shuffle)};
  std::vector<int> counts(10);
  for (int i = 0; i < 100'000; ++i) ++counts[stream.below(10)];
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
}

TEST(RandomStream, NormalHasUnitVariance) {
  RandomStream stream{random_key(2, Purpose::synthetic)};
  double sum = 0.0, squares = 0.0;
  for (int i = 0; i < 100'000; ++i) {
    const double value = stream.normal();
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / 1e5, 0.0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1.0, 0.02);
}

TEST(RandomStream, ShuffleIsAPermutationOfTheKeyAlone) {
  std::vector<std::int64_t> a{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, b = a;
  RandomStream{random_key(3, Purpose::shuffle, 1, 2)}.shuffle(a);
  RandomStream{random_key(3, Purpose::shuffle, 1, 2)}.shuffle(b);
  EXPECT_EQ(a, b);
  EXPECT_FALSE(std::is_sorted(a.begin(), a.end()));
  EXPECT_EQ(std::set<std::int64_t>(a.begin(), a.end()).size(), 10U);
}

}  // namespace
}  // namespace fedmpi
