#pragma once

#include "fedmpi/check.hpp"
#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// Seconds of something that has `units` of work: fixed + per_unit * units.
struct Line {
  double fixed = 0.0, per_unit = 0.0;
  double at(double units) const { return fixed + per_unit * units; }
};

struct Sample {
  double units = 0.0, seconds = 0.0;
};

// The least squares of the samples with neither part negative; through their mean. Zero for none.
FEDMPI_API Line fit_line(std::span<const Sample> samples);

// Seconds until `loads`, the seconds of work that each process of a node would take on a node of its own, are done when
// all start at once, each on `threads` threads, and share `cores` cores fairly.
FEDMPI_API double makespan(std::span<const double> loads, int threads, int cores);

// A rank on a node of its own, without communication. Of one piece of work at a time.
struct Rates {
  Line step;                                                   // one optimizer step, by the cost of its batch
  Line client;                                                 // a client's fit besides its steps
  Line block;                                                  // one block of evaluation, by its cost
  double at_once = 1.0;                                        // how many clients or blocks at the same time
  double fit_speedup = 0.0, evaluate_speedup = 0.0;            // by that; 0: not measured
  double load_seconds = 0.0;                                   // before the first block
  double plan_fit_seconds = 0.0, plan_evaluate_seconds = 0.0;  // who does what, which every rank finds out
  double slice_seconds = 0.0;                                  // a strategy on slices: one slice of all updates
  std::int64_t num_chosen = 0;                                 // of those that it compares; 0: it does not
};

// The server's own work in a round.
struct ServerSeconds {
  double advance = 0.0;  // from the sum to the next parameters
  double record = 0.0;   // digest, metrics and the copy that a checkpoint is written from
  double save = 0.0;     // to write a checkpoint, beside the next round
};

// Seconds of collectives as they were measured, or 0 where there was one rank.
struct CollectiveSeconds {
  double broadcast = 0.0;              // of what a round sends to every client
  double reduce = 0.0;                 // of the sum
  double vote = 0.0;                   // of few bytes
  double copy_bytes_per_second = 0.0;  // of memory, on one core
};

// Work of one round, in the units of Dataset::lengths.
struct RoundWork {
  std::vector<std::int64_t> client_costs;  // [client of the cohort], one pass over its examples
  std::vector<std::int64_t> client_steps;  // the same, optimizer steps in a pass
  std::vector<std::int64_t> block_costs;   // of evaluation
};

struct JobWork {
  std::vector<RoundWork> rounds;       // some of them
  int num_rounds = 0;                  // that are to be done
  int num_evaluations = 0;             // of those rounds
  int num_saves = 0;                   // checkpoints of those rounds
  bool has_first_evaluation = true;    // before the first round
  std::int64_t passes = 1;             // backward included, over a client's examples
  std::int64_t loss_passes = 0;        // forward alone
  std::int64_t shared_bytes = 0;       // broadcast to every client
  std::int64_t vector_bytes = 0;       // of that, the server's vectors
  std::int64_t sum_bytes = 0;          // reduced
  std::int64_t update_bytes = 0;       // of a strategy on slices: of an update, else 0
  std::int64_t num_slices = 0;         // of those
  int times_exchanged = 1;             // 2: once for products, once for the aggregate
  std::int64_t collected_bytes = 0;    // gathered from all ranks on the server, of slices
  std::int64_t label_count_bytes = 0;  // reduced in an evaluation
  std::int64_t kept_bytes = 0;         // that every rank gets of each client's fit besides its FitRecord
};

// Bytes of memory of a process.
struct MemoryUse {
  std::int64_t server = 0, host = 0;  // the largest resident size
  std::int64_t shared = 0;            // of that, mapped files, which the ranks of a node have once
  std::int64_t temporary = 0;         // of each node, temporary files that lie in memory
};

// What a network between nodes is taken for: 10 Gbit/s.
inline constexpr double network_bytes_per_second = 1.25e9;

// `here`: where the collectives were measured.
FEDMPI_API Forecast forecast(const JobWork& work, const Rates& rates, const ServerSeconds& server,
                             const CollectiveSeconds& collectives, const Cluster& here, const Cluster& there,
                             const MemoryUse& memory, double start_seconds);

// `ranks` dealt out to `nodes` in blocks, as launchers do.
FEDMPI_API Cluster deal_out(int ranks, int nodes, int cores, int threads);

// How many checkpoints there are at most at one time, the one being written included.
FEDMPI_API int most_checkpoints(int last_round, int every, int keep, int keep_every);

}  // namespace fedmpi
