#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/federation.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace fedmpi {

struct CheckRequest {
  RunRequest run;  // what would be run, from its start or its newest checkpoint; it is not
  int ranks = 0;   // predict for so many; 0: those that there are
  int nodes = 0;   // on so many nodes like that of rank 0; 0: as many ranks a node as here
};

// Which rank is where. Rank 0 hosts no clients unless it is alone.
struct Cluster {
  std::vector<int> node_of_rank = {0};
  std::vector<int> cores_of_node = {1};  // that the ranks may use
  int threads = 1;                       // of each rank
  bool shares_memory = true;             // Communicator::shares_memory

  int ranks() const { return static_cast<int>(node_of_rank.size()); }
  int nodes() const { return static_cast<int>(cores_of_node.size()); }
  int hosts() const { return ranks() == 1 ? 1 : ranks() - 1; }
};

// What a run is predicted to take. Seconds of a round are of wall time on the server, a mean over the rounds; evaluate:
// of a round that evaluates. Bytes of memory are the largest resident size of a process.
struct Forecast {
  double start_seconds = 0.0;  // to load everything
  double first_evaluation_seconds = 0.0;
  double broadcast_seconds = 0.0, fit_seconds = 0.0, aggregate_seconds = 0.0, evaluate_seconds = 0.0;
  double checkpoint_seconds = 0.0;  // that a round is held up by
  double round_seconds = 0.0;
  double total_seconds = 0.0;
  double busy = 0.0;            // mean work of a host over that of the one with most: 1 where all have the same
  std::int64_t bytes_sent = 0;  // in a round, by all ranks
  std::int64_t server_bytes = 0, host_bytes = 0;  // of memory
  std::vector<std::int64_t> node_bytes;           // [node], of memory; files that ranks share counted once
};

struct CheckedPlugin {
  std::string kind, name, version, path, digest;
};

// One node of the ranks that the check ran on.
struct CheckedNode {
  std::string name;
  int ranks = 0;
  int cores = 0;                     // that its ranks may use
  int cores_offered = 0;             // to the process that started them
  std::int64_t memory_bytes = 0;     // that is there for them: free, and within their limits
  std::string memory_limit;          // what sets it: "free memory", "SLURM_MEM_PER_NODE", "cgroup"
  std::int64_t temporary_bytes = 0;  // free for temporary files
  bool temporary_in_memory = false;
  bool sees_output = true;  // the directory that the run's will be made in is rank 0's
};

struct Spread {
  std::int64_t least = 0, median = 0, most = 0, sum = 0;
};

// What is known of a run before it starts, and what it is predicted to take.
struct CheckReport {
  std::string source, name, output;
  int first_round = 0, last_round = 0;  // 0: from the start
  std::vector<CheckedPlugin> plugins;   // of the strategy, the model and the dataset

  std::int64_t parameters = 0, trained = 0, travelling = 0;  // elements
  bool by_slices = false;

  std::int64_t train_size = 0, test_size = 0, num_labels = 0;
  std::int64_t longest_example = 0;  // of those that are trained on; 1: all are alike
  double share_of_longest = 0.0;     // of them, that are as long

  int clients = 0;
  Spread cohort;         // clients in a round
  Spread train, test;    // examples of a client
  int without_test = 0;  // clients without a test example where clients evaluate
  std::int64_t central_examples = 0;
  std::int64_t longest_client_tokens = 0;

  Cluster cluster;                 // that is predicted for
  int ranks_here = 1;              // that were measured
  std::vector<CheckedNode> nodes;  // of those
  bool is_of_here() const { return cluster.ranks() == ranks_here && cluster.nodes() == static_cast<int>(nodes.size()); }
  Forecast forecast;
  int most_useful_ranks = 1;  // with more, a round is not predicted to be faster

  std::int64_t checkpoint_bytes = 0;    // of one
  int checkpoints_kept = 0;             // at most at one time
  std::int64_t client_state_bytes = 0;  // at most, of all that clients keep
  std::int64_t disk_free_bytes = 0;
  std::int64_t temporary_node_bytes = 0;  // at most, on a node, of updates in temporary files

  double seconds_left = std::numeric_limits<double>::infinity();  // by run.max_seconds and the Slurm allocation
  std::vector<std::string> assumptions;
  std::vector<std::string> warnings;  // one sentence each
};

// Everything that run_federation would refuse, as it would, and a prediction from a few seconds of real work. Writes
// nothing but temporary files, which are gone when it returns. Every rank calls this; rank 0 gets the report. Throws
// AgreedError on all ranks together: a run would fail.
FEDMPI_API std::optional<CheckReport> check_federation(Communicator& communicator, const CheckRequest& request);

}  // namespace fedmpi
