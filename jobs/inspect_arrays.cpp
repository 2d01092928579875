#include "inspect_arrays.hpp"

#include "fedmpi/array_shard.hpp"
#include "fedmpi/error.hpp"
#include "numbers.hpp"

#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {
namespace {

ArrayShard read(const std::filesystem::path& path) {
  try {
    return read_array_shard(path, Task::classification);
  } catch (const FileError& not_classes) {
    try {
      return read_array_shard(path, Task::regression);
    } catch (const FileError&) {
      throw not_classes;
    }
  }
}

Facts range_of(const at::Tensor& values) {
  return {{"min", values.min().item<double>()},
          {"mean", values.mean(at::kDouble).item<double>()},
          {"max", values.max().item<double>()}};
}

std::string range_text(const Facts& range) {
  return fmt::format("{:g} to {:g}, mean {:.4g}", range["min"].get<double>(), range["max"].get<double>(),
                     range["mean"].get<double>());
}

}  // namespace

Facts array_facts(const InspectRequest& request) {
  const ArrayShard shard = read(request.file);
  Facts facts = facts_of_file(request.file, "arrays");
  facts["examples"] = shard.features.size(0);
  facts["features"] = {{"shape", shard.features.sizes().vec()}, {"type", type_name(shard.features)}};
  if (shard.features.numel() > 0) facts["features"].update(range_of(shard.features));
  if (shard.labels.defined())
    facts["labels"] = label_facts(shard.labels, "");
  else if (shard.targets.numel() > 0)
    facts["targets"] = range_of(shard.targets);
  if (shard.keys.defined()) {
    const auto* keys = shard.keys.const_data_ptr<std::int64_t>();
    facts["keys"] = std::set<std::int64_t>(keys, keys + shard.keys.numel()).size();
  }
  return facts;
}

void print_arrays(const Facts& facts) {
  const Facts& features = facts["features"];
  const auto count = facts["examples"].get<std::int64_t>();
  print_row("examples", grouped(count));
  print_row("features", fmt::format("{} [{}]", features["type"].get<std::string>(),
                                    fmt::join(features["shape"].get<std::vector<std::int64_t>>(), ", ")));
  if (features.contains("min")) print_row("values", range_text(features));
  if (facts.contains("keys"))
    print_row("keys", fmt::format("{} different", grouped(facts["keys"].get<std::int64_t>())));
  if (facts.contains("targets")) print_row("numbers to predict", range_text(facts["targets"]));
  if (!facts.contains("labels")) return;
  print_row("labels", fmt::format("{} different", facts["labels"].size()));
  print_labels(facts["labels"], count);
}

}  // namespace fedmpi
