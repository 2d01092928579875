#include "client_states.hpp"

#include "digested_tensor.hpp"
#include "fedmpi/client_state_files.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"
#include "whole_file.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

constexpr const char* dataset = "/kept";
constexpr const char* rounds_name = "engine.client_rounds";
constexpr const char* digests_name = "engine.client_digests";

std::string file_name(std::int64_t client, int round) {
  return fmt::format("client_{:06}_round_{:04}.h5", client, round);
}

struct Name {
  std::int64_t client = 0;
  int round = 0;
};

std::optional<Name> parse(const fs::path& path) {
  constexpr std::string_view first = "client_", second = "_round_";
  const std::string name = path.filename().string();
  const std::size_t middle = name.find(second);
  if (!name.starts_with(first) || middle == std::string::npos) return std::nullopt;
  Name parsed;
  std::from_chars(name.data() + first.size(), name.data() + middle, parsed.client);
  std::from_chars(name.data() + middle + second.size(), name.data() + name.size(), parsed.round);
  if (parsed.client < 0 || parsed.round < 0 || file_name(parsed.client, parsed.round) != name) return std::nullopt;
  return parsed;
}

at::Tensor read_kept(const fs::path& path) {
  const Hdf5Reader file(path);
  at::Tensor kept = read_digested(file, dataset);
  if (kept.dim() != 1 || kept.scalar_type() != at::kFloat)
    throw file_error(path, fmt::format("{} is not 1-D and float32", dataset));
  return kept;
}

}  // namespace

fs::path client_states_directory(const fs::path& checkpoints) {
  return checkpoints / "client_states";
}

at::Tensor load_client_state(const fs::path& path) {
  rehearse(path, [&] { read_kept(path); });
  return read_kept(path);
}

std::vector<fs::path> client_state_files(const Checkpoint& checkpoint, const fs::path& path) {
  const auto saved = std::ranges::find(checkpoint.strategy_state, rounds_name, &NamedTensor::name);
  if (saved == checkpoint.strategy_state.end()) return {};
  const at::Tensor& rounds = saved->tensor;
  if (rounds.dim() != 1 || rounds.scalar_type() != at::kInt)
    throw file_error(path, "its table of what clients keep is not 1-D and int32");
  std::vector<fs::path> files;
  for (std::int64_t client = 0; client < rounds.numel(); ++client)
    if (const std::int32_t round = rounds.const_data_ptr<std::int32_t>()[client]; round >= 0)
      files.push_back(client_states_directory(path.parent_path()) / file_name(client, round));
  return files;
}

ClientStates::ClientStates(fs::path directory, fs::path newer, std::int64_t size, int num_clients)
    : directory_{std::move(directory)},
      newer_{std::move(newer)},
      size_{size},
      table_(size > 0 ? static_cast<std::size_t>(num_clients) : 0) {}

fs::path ClientStates::path(std::int64_t client, int round) const {
  return (round <= first_round_ ? directory_ : newer_) / file_name(client, round);
}

at::Tensor ClientStates::read(std::int64_t client) const {
  const KeptState& kept = state(client);
  if (kept.round < 0) return at::zeros({size_}, at::kFloat);
  const fs::path from = path(client, kept.round);
  std::error_code error;
  if (!fs::exists(from, error))
    throw file_error(from, "is not there: the directory must be one that all nodes share, see --output");
  // What this run has written need not be tried in a process of its own.
  at::Tensor tensor = kept.round <= first_round_ ? load_client_state(from) : read_kept(from);
  if (tensor.numel() != size_)
    throw file_error(from, fmt::format("{} has {} elements where {} are kept", dataset, tensor.numel(), size_));
  if (digest(tensor) != std::string_view(kept.digest.data(), kept.digest.size()))
    throw file_error(from, "is not what the checkpoint says that this client keeps");
  return tensor;
}

void ClientStates::remove(std::int64_t client, int round) const {
  std::error_code ignored;  // there is none, as a rule
  fs::remove(path(client, round), ignored);
}

KeptState ClientStates::write(std::int64_t client, int round, const at::Tensor& kept) const {
  if (!at::isfinite(kept).all().item<bool>())
    throw Error("what the client would keep holds an element that is not finite: lower training.learning_rate");
  const fs::path to = path(client, round);
  std::error_code error;
  fs::create_directories(to.parent_path(), error);  // where it fails, the writer says why
  Hdf5Writer file(to);
  write_digested(file, dataset, kept);
  file.place();
  KeptState written{.round = round};
  digest(kept).copy(written.digest.data(), written.digest.size());
  return written;
}

std::vector<NamedTensor> ClientStates::save() const {
  if (!is_needed()) return {};
  const auto clients = static_cast<std::int64_t>(table_.size());
  const auto width = static_cast<std::int64_t>(KeptState{}.digest.size());
  at::Tensor rounds = at::empty({clients}, at::kInt), digests = at::empty({clients, width}, at::kByte);
  for (std::int64_t client = 0; client < clients; ++client) {
    rounds.data_ptr<std::int32_t>()[client] = state(client).round;
    std::copy_n(state(client).digest.data(), width, digests.data_ptr<std::uint8_t>() + client * width);
  }
  return {{rounds_name, rounds}, {digests_name, digests}};
}

void ClientStates::restore(std::span<const NamedTensor> saved, int round) {
  first_round_ = round;
  if (!is_needed()) return;
  const at::Tensor rounds = find_state(saved, rounds_name), digests = find_state(saved, digests_name);
  const auto clients = static_cast<std::int64_t>(table_.size());
  const auto width = static_cast<std::int64_t>(KeptState{}.digest.size());
  if (rounds.scalar_type() != at::kInt || rounds.numel() != clients || digests.scalar_type() != at::kByte ||
      digests.numel() != clients * width)
    throw Error("the checkpoint says what other clients keep than this job has");
  for (std::int64_t client = 0; client < clients; ++client) {
    KeptState& one = table_[static_cast<std::size_t>(client)];
    one.round = rounds.const_data_ptr<std::int32_t>()[client];
    if (one.round > round) throw Error("the checkpoint says that a client was fitted after it");
    std::copy_n(digests.const_data_ptr<std::uint8_t>() + client * width, width, one.digest.data());
  }
}

void ClientStates::sync(const Checkpoint& checkpoint, const fs::path& path, int after) {
  std::vector<fs::path> files = client_state_files(checkpoint, path);
  std::erase_if(files, [&](const fs::path& file) { return parse(file).value_or(Name{}).round <= after; });
  sync_files(files);
}

void ClientStates::prune(const fs::path& directory, std::span<const int> rounds, bool and_later) {
  std::map<std::int64_t, std::vector<int>> files;
  std::vector<fs::path> removed;
  const int last = rounds.empty() ? -1 : std::ranges::max(rounds);
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    if (const auto name = parse(entry->path()))
      files[name->client].push_back(name->round);
    else if (and_later && entry->path().filename().string().find(".h5.tmp.") != std::string::npos)
      removed.push_back(entry->path());
  for (auto& [client, own] : files) {
    std::ranges::sort(own);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const int until = i + 1 < own.size() ? own[i + 1] : std::numeric_limits<int>::max();
      const bool serves =
          own[i] > last ? !and_later
                        : std::ranges::any_of(rounds, [&](int round) { return own[i] <= round && round < until; });
      if (!serves) removed.push_back(directory / file_name(client, own[i]));
    }
  }
  std::error_code ignored;
  for (const fs::path& path : removed) fs::remove(path, ignored);
}

}  // namespace fedmpi
