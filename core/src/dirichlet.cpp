#include "dirichlet.hpp"

#include <algorithm>
#include <cmath>

namespace fedmpi {

double log_gamma_draw(RandomStream& stream, double shape) {
  // A draw of shape a is one of shape a + 1 times U^(1/a).
  double log_factor = 0.0;
  if (shape < 1.0) {
    log_factor = std::log(1.0 - stream.uniform()) / shape;
    shape += 1.0;
  }
  const double d = shape - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const double x = stream.normal(), root = 1.0 + c * x;
    if (root <= 0.0) continue;
    const double v = root * root * root;
    if (std::log(1.0 - stream.uniform()) < 0.5 * x * x + d * (1.0 - v + std::log(v)))
      return std::log(d * v) + log_factor;
  }
}

std::vector<double> log_dirichlet_draw(RandomStream& stream, std::span<const double> alpha) {
  std::vector<double> logs;
  for (const double shape : alpha) logs.push_back(log_gamma_draw(stream, shape));
  return logs;
}

std::vector<double> shares(std::span<const double> logs) {
  const double highest = *std::max_element(logs.begin(), logs.end());
  std::vector<double> result;
  double sum = 0.0;
  for (const double value : logs) {
    result.push_back(std::exp(value - highest));
    sum += result.back();
  }
  for (double& share : result) share /= sum;
  return result;
}

}  // namespace fedmpi
