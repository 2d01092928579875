#pragma once

#include "fedmpi/error.hpp"
#include "labelled_examples.hpp"
#include "partition.hpp"
#include "rule_choice.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {

// Jobs that divide a dataset by a rule, and what the tests of the rules look at.
using Parts = std::vector<std::vector<std::int64_t>>;

inline Job job_of(int clients, const std::string& partition, std::vector<std::string> settings = {}) {
  const std::string text = "[run]\nname = \"a\"\n[federation]\nclients = " + std::to_string(clients) +
                           "\n[model]\nname = \"m\"\n[data]\nname = \"d\"\npartition = " + partition + "\n";
  Job job = parse_job(text, "a.toml", settings);
  load_rule_files(job);
  return job;
}

inline Partition divide(const Dataset& dataset, int clients, const std::string& partition,
                        std::vector<std::string> settings = {}) {
  return make_partition(job_of(clients, partition, std::move(settings)), dataset);
}

inline std::string error_of(const Dataset& dataset, int clients, const std::string& partition,
                            const std::vector<std::string>& settings = {}) {
  try {
    divide(dataset, clients, partition, settings);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

// An error's sentence up to a point.
#define EXPECT_BEGINS(text, beginning) EXPECT_TRUE((text).starts_with(beginning)) << (text)

inline std::vector<std::int64_t> sizes(const Parts& parts) {
  std::vector<std::int64_t> result;
  for (const auto& part : parts) result.push_back(std::ssize(part));
  return result;
}

inline std::vector<std::int64_t> sorted_sizes(const Parts& parts) {
  auto result = sizes(parts);
  std::ranges::sort(result);
  return result;
}

// [client][label]
inline Parts label_counts(const Parts& parts, const Dataset& dataset, Split split) {
  Parts counts;
  for (const auto& part : parts) {
    counts.emplace_back(static_cast<std::size_t>(dataset.num_labels()));
    for (const std::int64_t example : part)
      ++counts.back()[static_cast<std::size_t>(dataset.labels(split)[static_cast<std::size_t>(example)])];
  }
  return counts;
}

inline std::set<std::int64_t> labels_of(const std::vector<std::int64_t>& part, const Dataset& dataset) {
  std::set<std::int64_t> labels;
  for (const std::int64_t example : part)
    labels.insert(dataset.labels(Split::train)[static_cast<std::size_t>(example)]);
  return labels;
}

inline std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  return values;
}

inline void expect_disjoint(const Parts& parts, std::int64_t size) {
  std::set<std::int64_t> seen;
  for (const auto& part : parts) {
    for (const std::int64_t example : part) {
      EXPECT_TRUE(seen.insert(example).second) << example << " is there twice";
      EXPECT_TRUE(example >= 0 && example < size) << example;
    }
  }
}

}  // namespace fedmpi
