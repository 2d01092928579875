#include "fixed_point.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(FixedPointSum, MeanOfHandComputedNumbers) {
  FixedPointSum sum(3);
  sum.clear(2);
  sum.add(std::vector{at::tensor({1.0F, -2.0F, 0.5F})}, 1.0);
  sum.add(std::vector{at::tensor({4.0F, 1.0F, 0.25F})}, 3.0);
  const at::Tensor mean = sum.mean(4.0);
  EXPECT_EQ(mean[0].item<float>(), 3.25F);
  EXPECT_EQ(mean[1].item<float>(), 0.25F);
  EXPECT_EQ(mean[2].item<float>(), 0.3125F);
}

TEST(FixedPointSum, OrderAndGroupingDoNotMatter) {
  constexpr std::int64_t size = 1000;
  constexpr int clients = 50;
  std::vector<at::Tensor> updates;
  RandomStream stream{random_key(7, Purpose::synthetic)};
  for (int k = 0; k < clients; ++k) {
    updates.push_back(at::empty({size}, at::kFloat));
    for (std::int64_t i = 0; i < size; ++i) updates.back()[i] = static_cast<float>(0.01 * stream.normal());
  }
  FixedPointSum forward(size), backward(size), part(size);
  for (FixedPointSum* sum : {&forward, &backward, &part}) sum->clear(clients);
  for (int k = 0; k < clients; ++k) forward.add(std::vector{updates[static_cast<std::size_t>(k)]}, k + 0.7);
  for (int k = clients - 1; k >= 25; --k) backward.add(std::vector{updates[static_cast<std::size_t>(k)]}, k + 0.7);
  for (int k = 0; k < 25; ++k) part.add(std::vector{updates[static_cast<std::size_t>(k)]}, k + 0.7);
  EXPECT_TRUE(at::equal(forward.sum(), backward.sum() + part.sum()));
}

TEST(FixedPointSum, RefusesWhatDoesNotFitAndKeepsTheSum) {
  FixedPointSum sum(2);
  sum.clear(4);
  sum.add(std::vector{at::tensor({1.0F, 1.0F})}, 1.0);
  const at::Tensor before = sum.sum().clone();
  EXPECT_THROW(sum.add(std::vector{at::tensor({0.0F, std::numeric_limits<float>::quiet_NaN()})}, 1.0), Error);
  EXPECT_THROW(sum.add(std::vector{at::tensor({std::numeric_limits<float>::infinity(), 0.0F})}, 1.0), Error);
  EXPECT_THROW(sum.add(std::vector{at::tensor({0x1.0p28F, 0.0F})}, 1.01), Error);
  EXPECT_TRUE(at::equal(before, sum.sum()));
  // Four contributions at the bound must not overflow.
  sum.clear(4);
  for (int k = 0; k < 4; ++k) sum.add(std::vector{at::tensor({0x1.0p28F, -0x1.0p28F})}, 1.0);
  EXPECT_EQ(sum.mean(4.0)[0].item<float>(), 0x1.0p28F);
  EXPECT_EQ(sum.mean(4.0)[1].item<float>(), -0x1.0p28F);
}

// On the CPU both ways can be asked.
TEST(FixedPointSum, OtherDevicesGiveTheSameBits) {
  constexpr std::int64_t size = 10'000;
  const double weight = 37.7;
  at::Tensor update = at::empty({2, size}, at::kFloat);
  RandomStream stream{random_key(8, Purpose::synthetic)};
  for (std::int64_t i = 0; i < 2 * size; ++i) {
    const double magnitude = std::pow(10.0, 8.0 * stream.uniform() - 7.0);
    update.view(-1)[i] = static_cast<float>(magnitude * stream.normal());
  }
  update[0][0] = 0x1.0p-33F;  // half a unit: to the even one
  update[0][1] = 0x1.8p-32F;
  for (const double factor : {weight, 1.0})
    for (const double larger : {1.0, 0x1.0p14}) {  // some of them are more than 2^51 units
      const at::Tensor part = update * larger;
      FixedPointSum here(2 * size);
      here.clear(3);
      here.add(std::vector{part}, factor);
      const at::Tensor there = at::zeros({2 * size}, at::kLong);
      add_on_device(there, part, factor * 0x1.0p32);
      EXPECT_TRUE(at::equal(here.sum(), there)) << factor << " " << larger;
      EXPECT_TRUE(at::equal(here.mean(91.3), quotient_on_device(there, 91.3 * 0x1.0p32)));
    }
  const double largest = update.to(at::kDouble).abs().max().item<double>();
  EXPECT_TRUE(fits_on_device(update, weight, largest * weight));
  EXPECT_FALSE(fits_on_device(update, weight, largest * weight * 0.999));
  update[1][5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(fits_on_device(update, weight, 0x1.0p60));
  update[1][5] = -std::numeric_limits<float>::infinity();
  EXPECT_FALSE(fits_on_device(update, weight, 0x1.0p60));
}

}  // namespace
}  // namespace fedmpi
