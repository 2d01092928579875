#pragma once

#include "fedmpi/check.hpp"
#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <sched.h>

namespace fedmpi {

// What one rank sees of its node, on its way to every rank.
struct NodeView {
  char name[64] = "";
  std::int64_t node = 0;                     // Communicator::node
  cpu_set_t cores = {}, cores_offered = {};  // of this process, and of the one that started it
  std::int64_t memory_bytes = 0;
  char memory_limit[32] = "";
  std::int64_t own_bytes = 0;  // of that memory, what this process has taken already
  std::int64_t temporary_bytes = 0;
  std::int64_t temporary_in_memory = 0;
  std::uint64_t output_inode = 0;  // of the directory that the run's will be made in; the same file on every node
};

// `output`: the run's directory, which need not be there.
FEDMPI_API NodeView view_of_node(const Communicator& communicator, const std::filesystem::path& output);

// The nearest directory above `path`, or it, that is there.
FEDMPI_API std::filesystem::path nearest_directory(const std::filesystem::path& path);

// Where the ranks are. `views`: [rank].
FEDMPI_API std::vector<CheckedNode> nodes_of(std::span<const NodeView> views);
FEDMPI_API Cluster cluster_of(std::span<const NodeView> views, int threads);

// What a process may still take: of memory that is free, of what Slurm gives a node's job, and of what the cgroups v2
// that it is in allow. `root` stands in for "/".
struct MemoryThere {
  std::int64_t bytes = 0;
  std::string limit;
};
FEDMPI_API MemoryThere memory_there(const std::filesystem::path& root = "/");

// Of this process, from /proc/self/status: the largest resident size so far, that of now, and mapped files in it.
FEDMPI_API std::int64_t peak_bytes();
FEDMPI_API std::int64_t resident_bytes();
FEDMPI_API std::int64_t mapped_file_bytes();

}  // namespace fedmpi
