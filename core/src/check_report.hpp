#pragma once

#include "cohort.hpp"
#include "fedmpi/check.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "forecast.hpp"
#include "node.hpp"
#include "partition.hpp"
#include "rates.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// What one rank measured, on its way to every rank.
struct Trial {
  Rates rates;
  std::int64_t has_fitted = 0, is_cut_short = 0;  // see RateMeasurement
  FitRecord record;                               // of some client, the same on every rank
  ServerTrial server;
  CollectiveSeconds collectives;
  // The largest resident size so far: without a fit; with fits; in the end. And mapped files in it.
  std::int64_t bytes_evaluated = 0, bytes_fitted = 0, bytes = 0, bytes_mapped = 0;
};

// The rates of rank `rank` as they would be if it had a node of its own, when they were measured by all at once.
// `cohort_size`: hosts without a client did not fit.
FEDMPI_API Rates as_if_alone(Rates rates, const Cluster& cluster, int rank, std::int64_t cohort_size);

// Where the ranks of `request` would be; where there are none, those that there are. `threads`: of run.threads;
// `cores_per_host`: what 0 of them means here. AgreedError, on all ranks alike, when there are more nodes than ranks.
FEDMPI_API Cluster planned_cluster(std::span<const NodeView> views, const CheckRequest& request, int threads,
                                   int cores_per_host);

struct ReportParts {
  const Experiment& experiment;
  const Partition& partition;
  const Cohorts& cohorts;
  int first_round, last_round;
  std::span<const Trial> trials;    // [rank]
  std::span<const NodeView> views;  // [rank]
  const Cluster &here, &there;
  double start_seconds, seconds_left;
};
FEDMPI_API CheckReport report_of(const ReportParts& parts);

// Of which that is made:

// The work of the rounds first..last (first may be 0, which is not one of them).
FEDMPI_API JobWork work_of(const Experiment& experiment, const Partition& partition, const Cohorts& cohorts, int first,
                           int last);

// What a strategy's server half can be tried with: records of a cohort as they may be. `one`: a real one.
FEDMPI_API std::vector<FitRecord> likely_records(const Experiment& experiment, const Partition& partition,
                                                 std::span<const std::int64_t> cohort, const FitRecord& one);

// Everything of the report that does not depend on ranks and nodes.
FEDMPI_API CheckReport describe(const Experiment& experiment, const Partition& partition, const Cohorts& cohorts,
                                int first, int last);

// A sentence for each thing that the run would start in spite of, with what to do.
FEDMPI_API std::vector<std::string> warnings_of(const CheckReport& report, const Job& job);

}  // namespace fedmpi
