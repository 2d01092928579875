#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/random.hpp"

#include <span>
#include <vector>

namespace fedmpi {

// Numbers are logarithms throughout: with a small shape most draws are too small for a double.

// log G, G from the gamma distribution of this shape (> 0) and scale 1 (Marsaglia and Tsang 2000, "A simple method for
// generating gamma variables").
FEDMPI_API double log_gamma_draw(RandomStream& stream, double shape);

// Of a draw from the Dirichlet distribution with these concentrations: the logarithms, up to one constant of them all.
FEDMPI_API std::vector<double> log_dirichlet_draw(RandomStream& stream, std::span<const double> alpha);

// exp(logs) / sum(exp(logs)). -infinity gives 0; at least one must be finite.
FEDMPI_API std::vector<double> shares(std::span<const double> logs);

}  // namespace fedmpi
