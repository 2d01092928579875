#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/strategy.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// All that the round after `round` needs, and what tells whether it can be reproduced here.
struct Checkpoint {
  int round = 0;
  std::string digest;  // of `parameters`, as in the metrics
  Layout layout;
  at::Tensor parameters;  // float32 [layout.size()]
  std::vector<NamedTensor> strategy_state;
  std::string job;  // resolved TOML
  std::string dataset_digest;
  std::vector<std::string> label_names;  // of the dataset, or empty
  std::string model_digest;
  std::vector<std::string> history;  // the lines of metrics.jsonl so far
  std::map<std::string, std::string>
      versions;  // "torch" -> "2.13.0", "instruction_set" -> "avx512", "plugin.model" -> digest
};

// Whole or not at all (see Hdf5Writer). FileError when it cannot be written or read or its content does not match
// its digest.
FEDMPI_API void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
FEDMPI_API Checkpoint load_checkpoint(const std::filesystem::path& path);

// DIR/round_0003.h5 and the like, oldest first.
FEDMPI_API std::filesystem::path checkpoint_path(const std::filesystem::path& directory, int round);
FEDMPI_API std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& directory);
FEDMPI_API std::vector<int> checkpoint_rounds(const std::filesystem::path& directory);  // of those, ascending

// The newest checkpoint that can be read; a damaged one is logged and the one before is tried. Nothing when the
// directory holds none; FileError when all are damaged.
FEDMPI_API std::optional<Checkpoint> load_newest_checkpoint(const std::filesystem::path& directory);

// Removes all but the `keep` newest (0: none of them) and those of every `keep_every`th round (0: no such), and what
// killed runs left half-written.
FEDMPI_API void prune_checkpoints(const std::filesystem::path& directory, int keep, int keep_every);

// Renames those of `first_round` and later to *.h5.old: a run that goes on from an older one, because they are
// damaged, will make them again, and pruning must not count them.
FEDMPI_API void set_aside_checkpoints(const std::filesystem::path& directory, int first_round);

// Of this build and the processor that it runs on, for Checkpoint::versions.
FEDMPI_API std::map<std::string, std::string> library_versions();

}  // namespace fedmpi
