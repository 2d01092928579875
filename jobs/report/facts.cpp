#include "page.hpp"

#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

Json group_json(const Group& group, std::span<const Run> runs) {
  Json json{{"label", group.label}, {"differs", group.differs}, {"runs", group.runs}};
  for (const Measure& measure : measures) {
    const std::vector<Statistic> rounds = group_rounds(measure, group, runs);
    if (rounds.empty()) continue;
    Json& one = json[measure.key] = {{"round", rounds.back().round}, {"mean", rounds.back().mean}};
    if (rounds.back().deviation) one["standard_deviation"] = *rounds.back().deviation;
  }
  return json;
}

Json run_json(const Run& run, const std::string& label) {
  Json json{{"directory", run.directory}, {"name", run.name},         {"label", label},
            {"seed", run.seed},           {"rounds", run.num_rounds}, {"clients", run.clients.size()}};
  const PhaseTotals totals = phase_totals(run.rounds);
  for (std::size_t i = 0; i < totals.size(); ++i) json["seconds"][phase_name(i)] = totals[i];
  if (!run.rounds.empty()) json["newest"] = Json::parse(to_json_line(run.rounds.back()));
  return json;
}

}  // namespace

std::string report_json(std::span<const Run> runs, const Comparison& comparison) {
  Json json{{"keys", comparison.keys}, {"jobs", Json::array()}, {"runs", Json::array()}};
  for (const Group& group : comparison.groups) json["jobs"].push_back(group_json(group, runs));
  for (std::size_t i = 0; i < runs.size(); ++i) json["runs"].push_back(run_json(runs[i], comparison.labels[i]));
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fedmpi
