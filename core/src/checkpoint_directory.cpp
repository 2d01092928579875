#include "fedmpi/checkpoint.hpp"
#include "fedmpi/log.hpp"
#include "file_error.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// Of names as checkpoint_path makes them, and of no others.
std::optional<int> round_of(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  int round = 0;
  if (!name.starts_with("round_")) return std::nullopt;
  std::from_chars(name.data() + 6, name.data() + name.size(), round);
  if (round < 0 || checkpoint_path("", round).filename() != name) return std::nullopt;
  return round;
}

// Left by a run that was killed while it wrote.
bool is_leftover(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("round_") && name.find(".h5.tmp.") != std::string::npos;
}

}  // namespace

std::filesystem::path checkpoint_path(const std::filesystem::path& directory, int round) {
  return directory / fmt::format("round_{:04}.h5", round);
}

std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& directory) {
  std::vector<std::pair<int, std::filesystem::path>> found;
  std::error_code error;
  if (!std::filesystem::exists(directory, error)) return {};
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    // Opening something else, a pipe say, could wait for ever.
    if (std::error_code ignored; !entry->is_regular_file(ignored)) continue;
    if (const auto round = round_of(entry->path())) found.emplace_back(*round, entry->path());
  }
  if (error) throw file_error(directory, "cannot be read: " + error.message());
  std::sort(found.begin(), found.end());
  std::vector<std::filesystem::path> paths;
  for (auto& [round, path] : found) paths.push_back(std::move(path));
  return paths;
}

std::vector<int> checkpoint_rounds(const std::filesystem::path& directory) {
  std::vector<int> rounds;
  for (const std::filesystem::path& path : list_checkpoints(directory)) rounds.push_back(*round_of(path));
  return rounds;
}

std::optional<Checkpoint> load_newest_checkpoint(const std::filesystem::path& directory) {
  const std::vector<std::filesystem::path> paths = list_checkpoints(directory);
  for (const std::filesystem::path& path : std::views::reverse(paths)) {
    try {
      return load_checkpoint(path);
    } catch (const FileError& error) {
      log(LogLevel::warning, fmt::format("a checkpoint is passed over: {}", error.what()));
    }
  }
  if (paths.empty()) return std::nullopt;
  throw file_error(directory, fmt::format("none of its {} checkpoints can be read", paths.size()));
}

void prune_checkpoints(const std::filesystem::path& directory, int keep, int keep_every) {
  std::vector<std::filesystem::path> paths = list_checkpoints(directory);
  const std::size_t kept = keep > 0 ? static_cast<std::size_t>(keep) : paths.size();
  paths.resize(paths.size() - std::min(paths.size(), kept));
  std::erase_if(paths, [&](const auto& path) { return keep_every > 0 && *round_of(path) % keep_every == 0; });
  if (std::filesystem::exists(directory)) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      if (is_leftover(entry.path())) paths.push_back(entry.path());
    }
  }
  for (const std::filesystem::path& path : paths) {
    std::error_code error;
    std::filesystem::remove(path, error);
    if (error) throw file_error(path, "could not be removed: " + error.message());
  }
}

void set_aside_checkpoints(const std::filesystem::path& directory, int first_round) {
  for (const std::filesystem::path& path : list_checkpoints(directory)) {
    if (*round_of(path) < first_round) continue;
    std::error_code error;
    std::filesystem::rename(path, path.string() + ".old", error);
    if (error) throw file_error(path, "could not be set aside: " + error.message());
  }
}

}  // namespace fedmpi
