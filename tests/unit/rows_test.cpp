#include "fedmpi/rows.hpp"

#include "fedmpi/random.hpp"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

at::Tensor random_rows(std::int64_t n, std::int64_t length) {
  RandomStream stream{random_key(static_cast<std::uint64_t>(n), Purpose::synthetic)};
  at::Tensor rows = at::empty({n, length}, at::kFloat);
  float* values = rows.data_ptr<float>();
  // Few different values, so that many are equal.
  for (std::int64_t i = 0; i < rows.numel(); ++i) values[i] = static_cast<float>(stream.below(9)) - 4.0F;
  return rows;
}

TEST(Rows, EveryNumberOfRowsIsSortedAsTheLibrarySortsIt) {
  for (std::int64_t n = 1; n <= 70; ++n) {
    at::Tensor rows = random_rows(n, 133);
    const at::Tensor expected = std::get<0>(at::sort(rows, 0));
    sort_columns(rows);
    EXPECT_TRUE(at::equal(rows, expected)) << n;
  }
}

TEST(Rows, TheMedianOfAnEvenNumberIsTheMeanOfTheTwoInTheMiddle) {
  const at::Tensor four = at::tensor({1.0F, 2.0F, 4.0F, 9.0F}).view({4, 1});
  EXPECT_EQ(median_of_sorted(four)[0].item<float>(), 3.0F);
  EXPECT_EQ(median_of_sorted(four.narrow(0, 0, 3))[0].item<float>(), 2.0F);
}

TEST(Rows, CombinesInDouble) {
  const at::Tensor rows = at::tensor({1e8F, 1.0F, -1e8F}).view({3, 1});
  EXPECT_EQ(combine_rows(rows, std::vector{1.0, 0.5, 1.0})[0].item<float>(), 0.5F);
  EXPECT_THROW(combine_rows(rows, std::vector{1.0}), std::logic_error);
}

TEST(Rows, DistancesFollowFromProducts) {
  const at::Tensor rows = at::tensor({0.0, 0.0, 3.0, 4.0, 3.0, 0.0}, at::kDouble).view({3, 2});
  const at::Tensor distances = squared_distances(rows.mm(rows.t()));
  EXPECT_EQ(distances[0][1].item<double>(), 25.0);
  EXPECT_EQ(distances[2][1].item<double>(), 16.0);
  EXPECT_EQ(distances[1][1].item<double>(), 0.0);
  // From (3, 2), halfway between the last two.
  const std::vector<double> from_middle = distances_from_combination(rows.mm(rows.t()), std::vector{0.0, 0.5, 0.5});
  EXPECT_DOUBLE_EQ(from_middle[0], std::sqrt(13.0));
  EXPECT_DOUBLE_EQ(from_middle[1], 2.0);
  EXPECT_DOUBLE_EQ(from_middle[2], 2.0);
}

}  // namespace
}  // namespace fedmpi
