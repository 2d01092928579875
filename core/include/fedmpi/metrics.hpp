#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// Seconds of wall time on the server; absent where the phase did not happen.
struct PhaseSeconds {
  std::optional<double> broadcast, fit, aggregate, evaluate, checkpoint;
  double total = 0.0;
};

struct ClientFailure {
  std::int64_t client = 0;
  std::string message;  // one line
};

// [label][what the model took it for]: numbers of examples, for each label that the dataset has and each that the model
// has. Empty where there is none.
using Confusion = std::vector<std::vector<std::int64_t>>;

// One line of metrics.jsonl: what is absent here is absent there, never 0. Losses are means over examples, as is the
// mean absolute error: of |prediction - target|, for regression alone. What classification has instead: accuracy, the
// share of examples that are taken for what they are; and F1, the unweighted mean over the dataset's labels of
// 2 TP / (2 TP + FP + FN), which is 0 for a label that no example has and none is taken for (scikit-learn's
// f1_score(truth, predicted, labels=range(num_labels), average="macro", zero_division=0)).
struct RoundMetrics {
  int round = 0;  // 0: before any training
  std::string digest;
  std::optional<std::int64_t> clients;  // in the cohort
  std::optional<std::int64_t> failures;
  std::vector<ClientFailure> failed;  // who and why, in ascending order; in metrics.jsonl alone, as "failed"
  std::optional<double> fit_loss;
  std::optional<double> evaluate_loss, evaluate_accuracy, evaluate_f1, evaluate_mean_absolute_error;
  std::optional<double> central_loss, central_accuracy, central_f1, central_mean_absolute_error;
  Confusion central_confusion;  // where the model has at most 100 labels; in metrics.jsonl alone
  PhaseSeconds seconds;
  std::optional<double> tokens_per_second;  // trained on, over the fit phase
  // Fitting on the host that took longest, as the rounds before made it expected and as it was; and the share of all
  // hosts' time until then in which they fitted nobody.
  std::optional<double> hosts_predicted_seconds, hosts_longest_seconds, hosts_idle_share;
  std::optional<std::int64_t> update_bytes;  // of what the clients send, as federation.compression encodes it
  std::int64_t bytes_sent = 0;               // by all ranks in this round
  std::int64_t peak_rss_bytes = 0;           // of the largest rank, without what it maps of others' memory
};

FEDMPI_API std::string to_json_line(const RoundMetrics& metrics);  // without the newline
FEDMPI_API RoundMetrics from_json_line(const std::string& line);

// Writes metrics.jsonl, metrics.csv and a TensorBoard event file in `directory`, a line a round, flushed. Starting
// with a history (a resumed run) rewrites the first two with exactly those lines. Error when a write fails. Server
// only.
class FEDMPI_API MetricsWriter {
 public:
  MetricsWriter(const std::filesystem::path& directory, std::span<const std::string> history);
  ~MetricsWriter();
  void write(const RoundMetrics& metrics);

 private:
  struct Files;
  std::unique_ptr<Files> files_;
};

// The table of rounds printed at the end of a run.
FEDMPI_API std::string rounds_table(std::span<const RoundMetrics> rounds);

}  // namespace fedmpi
