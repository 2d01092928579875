#include "node.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <system_error>

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

// The number after "KEY:" in files as /proc/meminfo, in kB there, in bytes here.
std::optional<std::int64_t> kilobytes(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::strtoll(line.c_str() + key.size() + 1, nullptr, 10) * 1024;
  return std::nullopt;
}

std::optional<std::int64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // it is not there, or says "max"
}

// In megabytes where it has no letter.
std::optional<std::int64_t> slurm_bytes(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  char* end = nullptr;
  const long long number = std::strtoll(text, &end, 10);
  if (number <= 0) return std::nullopt;  // 0: the whole node
  const std::string_view letters = "KMGT";
  const auto power = *end == '\0' ? std::size_t{1} : letters.find(*end);
  if (power == std::string_view::npos) return std::nullopt;
  return std::int64_t{number} << (10 * (power + 1));
}

void take_less(MemoryThere& memory, std::optional<std::int64_t> bytes, const char* limit) {
  if (bytes && *bytes < memory.bytes) memory = {.bytes = *bytes, .limit = limit};
}

// What the groups leave, from that of this process up to the root.
std::optional<std::int64_t> cgroup_bytes(const fs::path& root) {
  std::ifstream own(root / "proc/self/cgroup");
  std::string group;
  for (std::string line; std::getline(own, line);)
    if (line.starts_with("0::/")) group = line.substr(4);
  std::optional<std::int64_t> least;
  const fs::path top = root / "sys/fs/cgroup";
  for (fs::path directory = group.empty() ? top : top / group;; directory = directory.parent_path()) {
    const auto limit = number_in(directory / "memory.max"), used = number_in(directory / "memory.current");
    if (limit && used) {
      // Pages of files that were read are given back when they are needed.
      std::ifstream statistics(directory / "memory.stat");
      std::int64_t cached = 0, value = 0;
      for (std::string key; statistics >> key >> value;)
        if (key == "inactive_file") cached = value;
      const std::int64_t left = std::max<std::int64_t>(*limit - *used + cached, 0);
      least = std::min(left, least.value_or(left));
    }
    if (directory == top || directory == directory.parent_path()) return least;
  }
}

int num_cores(const cpu_set_t& cores) {
  return CPU_COUNT(&cores);
}

}  // namespace

MemoryThere memory_there(const fs::path& root) {
  MemoryThere memory{.bytes = std::numeric_limits<std::int64_t>::max(), .limit = "free memory"};
  if (const auto free = kilobytes(root / "proc/meminfo", "MemAvailable")) memory.bytes = *free;
  take_less(memory, slurm_bytes("SLURM_MEM_PER_NODE"), "SLURM_MEM_PER_NODE");
  if (const char* cores = std::getenv("SLURM_CPUS_ON_NODE"))
    if (const auto each = slurm_bytes("SLURM_MEM_PER_CPU"))
      take_less(memory, *each * std::max(1, std::atoi(cores)), "SLURM_MEM_PER_CPU");
  take_less(memory, cgroup_bytes(root), "the cgroup's memory.max");
  return memory;
}

std::int64_t peak_bytes() {
  return kilobytes("/proc/self/status", "VmHWM").value_or(0);
}

std::int64_t resident_bytes() {
  return kilobytes("/proc/self/status", "VmRSS").value_or(0);
}

std::int64_t mapped_file_bytes() {
  return kilobytes("/proc/self/status", "RssFile").value_or(0);
}

fs::path nearest_directory(const fs::path& path) {
  std::error_code error;
  fs::path part = fs::absolute(path, error);
  while (part != part.root_path() && !fs::is_directory(part, error)) part = part.parent_path();
  return part;
}

NodeView view_of_node(const Communicator& communicator, const fs::path& output) {
  NodeView view{.node = communicator.node()};
  ::gethostname(view.name, sizeof view.name - 1);
  ::sched_getaffinity(0, sizeof view.cores, &view.cores);
  if (::sched_getaffinity(::getppid(), sizeof view.cores_offered, &view.cores_offered) != 0)
    view.cores_offered = view.cores;
  const MemoryThere memory = memory_there();
  view.memory_bytes = memory.bytes;
  memory.limit.copy(view.memory_limit, sizeof view.memory_limit - 1);
  // What Slurm grants is all of it.
  if (!memory.limit.starts_with("SLURM")) view.own_bytes = resident_bytes() - mapped_file_bytes();
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  if (!error) {
    view.temporary_bytes = static_cast<std::int64_t>(fs::space(temporary, error).available);
    struct statfs system {};
    view.temporary_in_memory = ::statfs(temporary.c_str(), &system) == 0 && system.f_type == TMPFS_MAGIC ? 1 : 0;
  }
  struct stat status {};
  if (::stat(nearest_directory(output).c_str(), &status) == 0) view.output_inode = status.st_ino;
  return view;
}

std::vector<CheckedNode> nodes_of(std::span<const NodeView> views) {
  std::map<std::int64_t, std::vector<const NodeView*>> by_node;
  for (const NodeView& view : views) by_node[view.node].push_back(&view);
  std::vector<CheckedNode> nodes;
  for (const auto& [first, ranks] : by_node) {
    cpu_set_t cores = {};
    std::int64_t taken = 0;
    for (const NodeView* rank : ranks) {
      CPU_OR(&cores, &cores, &rank->cores);
      taken += rank->own_bytes;
    }
    const NodeView& view = *ranks.front();
    nodes.push_back({.name = view.name,
                     .ranks = static_cast<int>(ranks.size()),
                     .cores = num_cores(cores),
                     .cores_offered = num_cores(view.cores_offered),
                     .memory_bytes = view.memory_bytes + taken,
                     .memory_limit = view.memory_limit,
                     .temporary_bytes = view.temporary_bytes,
                     .temporary_in_memory = view.temporary_in_memory != 0,
                     .sees_output = view.output_inode == views[0].output_inode});
  }
  return nodes;
}

Cluster cluster_of(std::span<const NodeView> views, int threads) {
  Cluster cluster{.node_of_rank = {}, .cores_of_node = {}, .threads = threads};
  for (const CheckedNode& node : nodes_of(views)) cluster.cores_of_node.push_back(node.cores);
  std::map<std::int64_t, int> number;  // of a node, as nodes_of has them in order
  for (const NodeView& view : views) number[view.node] = 0;
  int next = 0;
  for (auto& [node, index] : number) index = next++;
  for (const NodeView& view : views) cluster.node_of_rank.push_back(number[view.node]);
  return cluster;
}

}  // namespace fedmpi
