#include "dirichlet.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

constexpr int num_draws = 100'000;

// Mean and variance of the gamma distribution of scale 1 are both its shape; of its logarithm the mean is the digamma
// function, for which the recurrence to large arguments and Stirling's series are used here.
double digamma(double x) {
  double sum = 0.0;
  for (; x < 10.0; x += 1.0) sum -= 1.0 / x;
  const double y = 1.0 / (x * x);
  return sum + std::log(x) - 0.5 / x - y * (1.0 / 12.0 - y * (1.0 / 120.0 - y / 252.0));
}

TEST(Gamma, HasTheMomentsOfItsShape) {
  EXPECT_NEAR(digamma(1.0), -0.5772156649015329, 1e-10);
  for (const double shape : {0.1, 0.5, 1.0, 3.7, 50.0}) {
    RandomStream stream{derive(random_key(1, Purpose::partition), static_cast<std::uint64_t>(shape * 10))};
    double sum = 0.0, squares = 0.0, logs = 0.0;
    for (int i = 0; i < num_draws; ++i) {
      const double log_value = log_gamma_draw(stream, shape), value = std::exp(log_value);
      sum += value;
      squares += value * value;
      logs += log_value;
    }
    const double mean = sum / num_draws, variance = squares / num_draws - mean * mean;
    EXPECT_NEAR(mean, shape, 5.0 * std::sqrt(shape / num_draws)) << shape;
    // The variance of the estimated variance, from the fourth central moment 3 k^2 + 6 k.
    EXPECT_NEAR(variance, shape, 5.0 * std::sqrt((2.0 * shape * shape + 6.0 * shape) / num_draws)) << shape;
    EXPECT_NEAR(logs / num_draws, digamma(shape), 5.0 * (1.0 / shape + 1.0) / std::sqrt(num_draws)) << shape;
  }
}

TEST(Dirichlet, HasItsMeansAndVariances) {
  const std::vector<double> alpha{0.2, 0.5, 1.3};
  RandomStream stream{random_key(2, Purpose::partition)};
  std::array<double, 3> sum{}, squares{};
  for (int i = 0; i < num_draws; ++i) {
    const auto draw = shares(log_dirichlet_draw(stream, alpha));
    EXPECT_NEAR(std::accumulate(draw.begin(), draw.end(), 0.0), 1.0, 1e-12);
    for (std::size_t j = 0; j < 3; ++j) {
      sum[j] += draw[j];
      squares[j] += draw[j] * draw[j];
    }
  }
  for (std::size_t j = 0; j < 3; ++j) {
    const double mean = alpha[j] / 2.0, variance = mean * (1.0 - mean) / 3.0;
    EXPECT_NEAR(sum[j] / num_draws, mean, 5.0 * std::sqrt(variance / num_draws));
    EXPECT_NEAR(squares[j] / num_draws - mean * mean, variance, 0.01 * variance + 0.002);
  }
}

TEST(Dirichlet, ATinyConcentrationGivesAllToOne) {
  const std::vector<double> alpha(50, 1e-9);
  RandomStream stream{random_key(3, Purpose::partition)};
  std::array<int, 50> winners{};
  for (int i = 0; i < 1000; ++i) {
    const auto draw = shares(log_dirichlet_draw(stream, alpha));
    const auto most = std::max_element(draw.begin(), draw.end());
    EXPECT_GT(*most, 0.999);
    ++winners[static_cast<std::size_t>(most - draw.begin())];
  }
  for (const int count : winners) EXPECT_NEAR(count, 20, 20);
}

TEST(Shares, AreNormalisedWhateverTheirSize) {
  const double none = -std::numeric_limits<double>::infinity();
  const auto result = shares(std::vector<double>{-1e6, none, -1e6 + std::log(3.0)});
  EXPECT_NEAR(result[0], 0.25, 1e-9);
  EXPECT_EQ(result[1], 0.0);
  EXPECT_NEAR(result[2], 0.75, 1e-9);
}

}  // namespace
}  // namespace fedmpi
