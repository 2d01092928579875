#pragma once

#include <filesystem>

namespace fedmpi {

// Small honest files, from which the targets start: `directory`/shard, array_shard, checkpoint and partial_round.
void make_hdf5_seeds(const std::filesystem::path& directory);

}  // namespace fedmpi
