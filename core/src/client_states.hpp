#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/strategy.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Which of a client's files is its newest, and the digest of what it holds.
struct KeptState {
  std::int32_t round = -1;  // -1: it has not been fitted
  std::array<char, 32> digest{};
};

// Beside a run's checkpoints.
FEDMPI_API std::filesystem::path client_states_directory(const std::filesystem::path& checkpoints);

// What clients keep from one round to the next, for strategies and layouts that need it: one vector each, in
// DIR/client_000012_round_0003.h5, dataset /kept, so that any rank can go on with any client. DIR must be on a file
// system that all nodes share. A file is written once; which one counts is in the table, which is the same on every
// rank and part of the checkpoint. One thread at a time, but for sync and prune. Errors: FileError for a file that is
// missing or does not hold what the table says, Error when one cannot be written.
class FEDMPI_API ClientStates {
 public:
  // `size`: elements of a vector, 0: nothing is kept. Files of rounds after `first_round` lie in `newer`, which a run
  // that writes nothing beside its checkpoints chooses for itself.
  ClientStates(std::filesystem::path directory, std::filesystem::path newer, std::int64_t size, int num_clients);

  bool is_needed() const { return size_ > 0; }
  bool is_first(std::int64_t client) const { return state(client).round < 0; }
  at::Tensor read(std::int64_t client) const;  // float32 [size]; zeros for one that has not been fitted

  // Before a client is fitted in a round: what an earlier try left does not count.
  void remove(std::int64_t client, int round) const;
  KeptState write(std::int64_t client, int round, const at::Tensor& kept) const;

  // The table: [client].
  std::span<const KeptState> table() const { return table_; }
  void set(std::int64_t client, const KeptState& state) { table_[static_cast<std::size_t>(client)] = state; }

  // The table as part of a strategy's state, and back; `round` is that of the checkpoint. Nothing where nothing is
  // kept.
  std::vector<NamedTensor> save() const;
  void restore(std::span<const NamedTensor> saved, int round);

  // Makes sure that the machine may crash once the checkpoint in `path` is written: of the files that it needs, those
  // of rounds after `after` may not be on disk yet. Any thread.
  static void sync(const Checkpoint& checkpoint, const std::filesystem::path& path, int after);

  // Removes the files that were not the newest in any of `rounds`, which are those of the checkpoints there are. Files
  // of later rounds, and half-written ones, only with `and_later`, before any client is fitted.
  static void prune(const std::filesystem::path& directory, std::span<const int> rounds, bool and_later);

 private:
  const KeptState& state(std::int64_t client) const { return table_[static_cast<std::size_t>(client)]; }
  std::filesystem::path path(std::int64_t client, int round) const;

  std::filesystem::path directory_, newer_;
  std::int64_t size_;
  int first_round_ = 0;
  std::vector<KeptState> table_;
};

}  // namespace fedmpi
