#include "check_text.hpp"

#include "fedmpi/quantity_text.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

std::string plural(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// "20 to 431 (median 95)", or "100".
std::string spread_text(const Spread& spread) {
  if (spread.least == spread.most) return fmt::format("{}", spread.most);
  return fmt::format("{} to {} (median {})", spread.least, spread.most, spread.median);
}

std::string plugin_text(const CheckedPlugin& plugin) {
  return fmt::format("{} {}", plugin.name, plugin.version);
}

std::string millions(std::int64_t count) {
  return count < 1'000'000 ? fmt::format("{}", count) : fmt::format("{:.1f} million", static_cast<double>(count) / 1e6);
}

std::int64_t disk_bytes(const CheckReport& report) {
  return report.checkpoint_bytes * report.checkpoints_kept + report.client_state_bytes;
}

std::string job_text(const CheckReport& report) {
  const int first = std::max(report.first_round, 1);
  std::string text = fmt::format("{} ({})", report.name, report.source);
  if (report.first_round > report.last_round) return text + ", all rounds are done";
  if (report.first_round == 0) return fmt::format("{}, {}", text, plural(report.last_round, "round"));
  return fmt::format("{}, rounds {} to {} of a run that goes on", text, first, report.last_round);
}

std::string model_text(const CheckReport& report) {
  std::string text = fmt::format("{}, {} parameters", plugin_text(report.plugins[1]), millions(report.parameters));
  if (report.trained < report.parameters) text += fmt::format(", {} of them trained", millions(report.trained));
  if (report.travelling < report.trained) text += fmt::format(", {} of them sent", millions(report.travelling));
  return text;
}

std::string data_text(const CheckReport& report) {
  std::string text = fmt::format("{}, {} train and {} test examples", plugin_text(report.plugins[2]), report.train_size,
                                 report.test_size);
  if (report.num_labels > 1) text += fmt::format(", {} labels", report.num_labels);
  if (report.longest_example <= 1) return text;
  text += fmt::format(", at most {} tokens", report.longest_example);
  if (report.share_of_longest > 0.01)
    text += fmt::format(" ({:.0f} % have as many: they were cut, most likely)", 100.0 * report.share_of_longest);
  return text;
}

std::string clients_text(const CheckReport& report) {
  std::string text =
      fmt::format("{}, {} a round; {} train", report.clients, spread_text(report.cohort), spread_text(report.train));
  if (report.test.sum > 0) text += fmt::format(" and {} test", spread_text(report.test));
  text += " examples each";
  if (report.without_test > 0) text += fmt::format(", {} without a test example", report.without_test);
  if (report.central_examples > 0) text += fmt::format("; {} central test examples", report.central_examples);
  return text;
}

std::string ranks_text(const CheckReport& report) {
  const Cluster& cluster = report.cluster;
  const auto [least, most] = std::ranges::minmax(cluster.cores_of_node);
  std::string text = fmt::format("{} on {}", cluster.ranks(), plural(cluster.nodes(), "node"));
  if (cluster.ranks() > 1) text += fmt::format(", {} of them with clients", cluster.hosts());
  text +=
      fmt::format("; {} each, {} core{} a node", plural(cluster.threads, "thread"),
                  least == most ? fmt::format("{}", most) : fmt::format("{} to {}", least, most), most == 1 ? "" : "s");
  if (cluster.hosts() > 1) text += fmt::format("; {:.0f} % balanced", 100.0 * report.forecast.busy);
  return text;
}

std::string memory_text(const CheckReport& report) {
  const Forecast& forecast = report.forecast;
  const auto fullest = std::ranges::max_element(forecast.node_bytes) - forecast.node_bytes.begin();
  const bool is_here = report.is_of_here();
  const CheckedNode& node = report.nodes[is_here ? static_cast<std::size_t>(fullest) : 0];
  std::string text = fmt::format("{} a rank", bytes_text(forecast.host_bytes));
  if (report.cluster.ranks() > 1) text += fmt::format(", the server {}", bytes_text(forecast.server_bytes));
  return text + fmt::format("; {} of {} on {} ({})", bytes_text(forecast.node_bytes[static_cast<std::size_t>(fullest)]),
                            bytes_text(node.memory_bytes), is_here ? node.name : "a node", node.memory_limit);
}

std::string disk_text(const CheckReport& report) {
  std::string text = fmt::format("{} checkpoint{} of {}", report.checkpoints_kept,
                                 report.checkpoints_kept == 1 ? "" : "s", bytes_text(report.checkpoint_bytes));
  if (report.client_state_bytes > 0)
    text += fmt::format(" and {} that clients keep", bytes_text(report.client_state_bytes));
  text += fmt::format(" at most, {} of {} free in {}", bytes_text(disk_bytes(report)),
                      bytes_text(report.disk_free_bytes), report.output);
  if (report.temporary_node_bytes > 0)
    text += fmt::format("; temporary files up to {} a node", bytes_text(report.temporary_node_bytes));
  return text;
}

std::string time_text(const CheckReport& report) {
  const Forecast& forecast = report.forecast;
  if (report.first_round > report.last_round) return "nothing to do";
  std::vector<std::string> parts;
  const auto add = [&](const char* what, double seconds) {
    if (seconds > 0.005 * forecast.round_seconds) parts.push_back(fmt::format("{} {}", what, seconds_text(seconds)));
  };
  add("broadcast", forecast.broadcast_seconds);
  add("fit", forecast.fit_seconds);
  add("aggregate", forecast.aggregate_seconds);
  add("evaluate", forecast.evaluate_seconds);
  add("checkpoint", forecast.checkpoint_seconds);
  return fmt::format("{} in all; {} before the first round, {} a round ({}); {} sent in a round",
                     seconds_text(forecast.total_seconds),
                     seconds_text(forecast.start_seconds + forecast.first_evaluation_seconds),
                     seconds_text(forecast.round_seconds), fmt::join(parts, ", "), bytes_text(forecast.bytes_sent));
}

Json spread_json(const Spread& spread) {
  return {{"least", spread.least}, {"median", spread.median}, {"most", spread.most}, {"sum", spread.sum}};
}

Json seconds_json(const CheckReport& report) {
  const Forecast& forecast = report.forecast;
  Json json{{"start", forecast.start_seconds},
            {"first_evaluation", forecast.first_evaluation_seconds},
            {"broadcast", forecast.broadcast_seconds},
            {"fit", forecast.fit_seconds},
            {"aggregate", forecast.aggregate_seconds},
            {"evaluate", forecast.evaluate_seconds},
            {"checkpoint", forecast.checkpoint_seconds},
            {"round", forecast.round_seconds},
            {"total", forecast.total_seconds}};
  if (std::isfinite(report.seconds_left)) json["left"] = report.seconds_left;
  return json;
}

Json nodes_json(const CheckReport& report) {
  Json json = Json::array();
  for (const CheckedNode& node : report.nodes)
    json.push_back({{"name", node.name},
                    {"ranks", node.ranks},
                    {"cores", node.cores},
                    {"memory_bytes", node.memory_bytes},
                    {"memory_limit", node.memory_limit},
                    {"temporary_bytes", node.temporary_bytes}});
  return json;
}

}  // namespace

std::string text_of(const CheckReport& report) {
  std::string text;
  const auto line = [&](const char* topic, const std::string& what) { text += fmt::format("{:<9} {}\n", topic, what); };
  line("job", job_text(report));
  line("strategy", fmt::format("{}, by {}", plugin_text(report.plugins[0]), report.by_slices ? "slices" : "sums"));
  line("model", model_text(report));
  line("data", data_text(report));
  for (const CheckedPlugin& plugin : report.plugins)
    line(plugin.kind == "strategy" ? "plugins" : "", fmt::format("{} {:.12}", plugin.path, plugin.digest));
  line("clients", clients_text(report));
  line("ranks", ranks_text(report));
  line("memory", memory_text(report));
  line("disk", disk_text(report));
  line("time", time_text(report));
  if (!report.assumptions.empty()) line("assumed", fmt::format("{}", fmt::join(report.assumptions, "; ")));
  text += "\n";
  for (const std::string& warning : report.warnings) text += fmt::format("warning: {}\n", warning);
  if (report.warnings.empty()) return text + "nothing stands in the way\n";
  return text + fmt::format("the run would start; {} above\n",
                            report.warnings.size() == 1 ? "see the warning" : "see the warnings");
}

std::string json_of(const CheckReport& report) {
  Json plugins = Json::object();
  for (const CheckedPlugin& plugin : report.plugins)
    plugins[plugin.kind] = {
        {"name", plugin.name}, {"version", plugin.version}, {"path", plugin.path}, {"digest", plugin.digest}};
  const Json json{{"job",
                   {{"file", report.source},
                    {"name", report.name},
                    {"output", report.output},
                    {"first_round", std::max(report.first_round, 1)},
                    {"last_round", report.last_round}}},
                  {"plugins", plugins},
                  {"model",
                   {{"parameters", report.parameters},
                    {"trained", report.trained},
                    {"sent", report.travelling},
                    {"aggregation", report.by_slices ? "slices" : "sum"}}},
                  {"data",
                   {{"train_examples", report.train_size},
                    {"test_examples", report.test_size},
                    {"labels", report.num_labels},
                    {"longest_example", report.longest_example},
                    {"share_of_longest", report.share_of_longest}}},
                  {"clients",
                   {{"number", report.clients},
                    {"in_a_round", spread_json(report.cohort)},
                    {"train_examples", spread_json(report.train)},
                    {"test_examples", spread_json(report.test)},
                    {"without_test_examples", report.without_test},
                    {"central_examples", report.central_examples}}},
                  {"ranks",
                   {{"number", report.cluster.ranks()},
                    {"nodes", report.cluster.nodes()},
                    {"hosts", report.cluster.hosts()},
                    {"threads", report.cluster.threads},
                    {"cores_of_nodes", report.cluster.cores_of_node},
                    {"balance", report.forecast.busy},
                    {"useful", report.most_useful_ranks},
                    {"measured", report.ranks_here}}},
                  {"memory",
                   {{"host_bytes", report.forecast.host_bytes},
                    {"server_bytes", report.forecast.server_bytes},
                    {"node_bytes", report.forecast.node_bytes}}},
                  {"disk",
                   {{"checkpoint_bytes", report.checkpoint_bytes},
                    {"checkpoints", report.checkpoints_kept},
                    {"client_state_bytes", report.client_state_bytes},
                    {"temporary_bytes", report.temporary_node_bytes},
                    {"free_bytes", report.disk_free_bytes}}},
                  {"seconds", seconds_json(report)},
                  {"bytes_sent", report.forecast.bytes_sent},
                  {"nodes", nodes_json(report)},
                  {"assumptions", report.assumptions},
                  {"warnings", report.warnings}};
  return json.dump(2) + "\n";
}

}  // namespace fedmpi
