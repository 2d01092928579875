#include "inspect_checkpoint.hpp"

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/client_state_files.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/partial_round.hpp"
#include "numbers.hpp"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {
namespace {

constexpr std::size_t most_rounds = 10;  // of the table
constexpr std::array<std::pair<TensorRole, const char*>, 5> roles{{{TensorRole::shared, "shared"},
                                                                   {TensorRole::statistic, "statistic"},
                                                                   {TensorRole::local, "local"},
                                                                   {TensorRole::local_statistic, "local_statistic"},
                                                                   {TensorRole::frozen, "frozen"}}};

const char* name_of(TensorRole role) {
  return std::ranges::find(roles, role, &std::pair<TensorRole, const char*>::first)->second;
}

void add_layout(const Layout& layout, Facts& facts) {
  facts["roles"] = Facts::object();
  facts["tensors"] = Facts::array();
  for (const std::size_t index : layout.order()) {
    const TensorSpec& spec = layout.spec(index);
    const char* role = name_of(spec.role);
    Facts& sum = facts["roles"][role];
    if (sum.is_null()) sum = {{"tensors", 0}, {"elements", 0}};
    sum["tensors"] = sum["tensors"].get<std::int64_t>() + 1;
    sum["elements"] = sum["elements"].get<std::int64_t>() + layout.num_elements(index);
    facts["tensors"].push_back({{"name", spec.name}, {"shape", spec.shape}, {"role", role}});
  }
}

Facts state_facts(const Checkpoint& checkpoint) {
  Facts all = Facts::array();
  for (const NamedTensor& state : checkpoint.strategy_state)
    all.push_back({{"name", state.name}, {"type", type_name(state.tensor)}, {"shape", state.tensor.sizes().vec()}});
  return all;
}

Facts client_states(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  std::int64_t missing = 0;
  std::uintmax_t bytes = 0;
  const auto files = client_state_files(checkpoint, path);
  for (const std::filesystem::path& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error)
      ++missing;
    else
      bytes += size;
  }
  return {{"files", files.size()}, {"missing", missing}, {"bytes", bytes}};
}

Facts history_facts(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  Facts history = Facts::array();
  try {
    for (const std::string& line : checkpoint.history) {
      from_json_line(line);  // it must be one of a run's
      history.push_back(Facts::parse(line));
    }
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: its history is not that of a run: {}", path.string(), error.what()), path);
  }
  return history;
}

std::string table_of(const Facts& history) {
  std::vector<RoundMetrics> last;
  for (std::size_t i = history.size() - std::min(history.size(), most_rounds); i < history.size(); ++i)
    last.push_back(from_json_line(history[i].dump()));
  return rounds_table(last);
}

}  // namespace

Facts checkpoint_facts(const InspectRequest& request) {
  const Checkpoint checkpoint = load_checkpoint(request.file);
  const Job job = parse_job(checkpoint.job, request.file.string(), {});
  Facts facts = facts_of_file(request.file, "checkpoint");
  facts["round"] = checkpoint.round;
  facts["digest"] = checkpoint.digest;
  facts["name"] = job.run.name;
  facts["seed"] = job.run.seed;
  facts["rounds"] = job.run.rounds;
  facts["clients"] = job.federation.clients;
  facts["strategy"] = job.strategy.name;
  facts["model"] = job.model.name;
  facts["dataset"] = job.dataset.name;
  facts["model_digest"] = checkpoint.model_digest;
  facts["dataset_digest"] = checkpoint.dataset_digest;
  facts["versions"] = checkpoint.versions;
  add_layout(checkpoint.layout, facts);
  facts["strategy_state"] = state_facts(checkpoint);
  facts["client_states"] = client_states(checkpoint, request.file);
  facts["history"] = history_facts(checkpoint, request.file);
  facts["job"] = checkpoint.job;
  return facts;
}

void print_checkpoint(const Facts& facts) {
  const auto text = [&](const char* key) { return facts[key].get<std::string>(); };
  const auto number = [&](const char* key) { return facts[key].get<std::int64_t>(); };
  print_row("run", fmt::format("{}, round {} of {}", text("name"), number("round"), number("rounds")));
  print_row("digest", text("digest"));
  print_row("seed", fmt::format("{}", facts["seed"].get<std::uint64_t>()));
  print_row("clients", grouped(number("clients")));
  print_row("strategy", text("strategy"));
  for (const Facts& state : facts["strategy_state"])
    print_row("  " + state["name"].get<std::string>(),
              fmt::format("{} [{}]", state["type"].get<std::string>(),
                          fmt::join(state["shape"].get<std::vector<std::int64_t>>(), ", ")));
  print_row("dataset", fmt::format("{}, digest {:.12}", text("dataset"), text("dataset_digest")));
  print_row("model", text("model_digest").empty()
                         ? text("model")
                         : fmt::format("{}, digest {:.12}", text("model"), text("model_digest")));
  for (const auto& [role, sum] : facts["roles"].items()) {
    const auto elements = sum["elements"].get<std::int64_t>();
    print_row("  " + role,
              fmt::format("{:>14} numbers in {} tensors, {}", grouped(elements), sum["tensors"].get<std::int64_t>(),
                          bytes_text(elements * static_cast<std::int64_t>(sizeof(float)))));
  }
  const Facts& states = facts["client_states"];
  if (states["files"].get<std::int64_t>() > 0)
    print_row("clients' states",
              fmt::format("{} files, {} of them missing, {}", states["files"].get<std::int64_t>(),
                          states["missing"].get<std::int64_t>(), bytes_text(states["bytes"].get<std::int64_t>())));
  print_row("versions", "");
  for (const auto& [name, version] : facts["versions"].items()) print_row("  " + name, version.get<std::string>());
  fmt::print("\n{}", table_of(facts["history"]));
}

Facts partial_round_facts(const InspectRequest& request) {
  const PartialRound partial = load_partial_round(request.file);
  Facts facts = facts_of_file(request.file, "partial_round");
  facts["round"] = partial.round;
  facts["origin"] = partial.origin;
  facts["elements"] = partial.sum.numel();
  facts["clients"] = Facts::array();
  for (const FitRecord& record : partial.records)
    facts["clients"].push_back({{"client", record.client},
                                {"examples", record.num_examples},
                                {"tokens", record.num_tokens},
                                {"loss", record.loss}});
  return facts;
}

void print_partial_round(const Facts& facts) {
  print_row("round", fmt::format("{}, not over when this was written", facts["round"].get<std::int64_t>()));
  print_row("origin", facts["origin"].get<std::string>());
  print_row("sum", fmt::format("{} numbers", grouped(facts["elements"].get<std::int64_t>())));
  print_row("clients in it", fmt::format("{}", facts["clients"].size()));
  for (const Facts& one : facts["clients"])
    print_row(fmt::format("  {}", one["client"].get<std::int64_t>()),
              fmt::format("{:>10} examples, loss {:.4f}", grouped(one["examples"].get<std::int64_t>()),
                          one["loss"].get<double>()));
}

Facts client_state_facts(const InspectRequest& request) {
  Facts facts = facts_of_file(request.file, "client_state");
  facts["elements"] = load_client_state(request.file).numel();
  return facts;
}

void print_client_state(const Facts& facts) {
  print_row("kept", fmt::format("{} numbers", grouped(facts["elements"].get<std::int64_t>())));
}

}  // namespace fedmpi
