#pragma once

#include "measures.hpp"
#include "run.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// Runs of one job, which differ in run.seed alone.
struct Group {
  std::string label;                           // the keys that tell it from other groups: "strategy.name=fedprox"
  std::map<std::string, std::string> differs;  // those keys, where this group has them
  bool named_by_directory = false;             // no key tells it apart: the label holds its first run's directory
  std::vector<std::size_t> runs;               // by index, in the order given
  std::size_t num_seeds = 0;                   // of those runs: they may be more
};

struct Comparison {
  std::vector<std::string> keys;  // in which the groups differ
  std::vector<Group> groups;
  std::vector<std::string> labels;    // of the runs: their group's, with the seed where seeds differ
  std::vector<std::size_t> group_of;  // of the runs
};

// Groups the runs by the keys in which their jobs differ and that change what is computed. Of what follows from another
// key (a plugin's option that is the same wherever it is there) nothing is said. Where all runs are of one job, those
// that repeat a seed are groups of their own, named by their directories.
Comparison compare(std::span<const Run> runs);

struct Statistic {
  int round = 0;
  double mean = 0.0;
  std::optional<double> deviation;  // the sample standard deviation, of two or more
};

// In ascending order, over the seeds of a group: the rounds in which all its runs measured it. A seed that several runs
// have counts once, by their mean.
std::vector<Statistic> group_rounds(const Measure& measure, const Group& group, std::span<const Run> runs);

// The mean and the sample standard deviation; `values` are one or more.
Statistic statistic_of(int round, std::span<const double> values);

}  // namespace fedmpi
