#include "partition_statistics.hpp"

#include "fedmpi/error.hpp"
#include "json_integer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

constexpr std::size_t max_rows = 12, max_labels = 6;

// "0: 12, 3: 4", of many labels the most frequent ones.
std::string labels_text(const std::map<std::int64_t, std::int64_t>& labels) {
  std::vector<std::pair<std::int64_t, std::int64_t>> shown(labels.begin(), labels.end());
  std::ranges::stable_sort(shown, [](const auto& a, const auto& b) { return a.second > b.second; });
  shown.resize(std::min(shown.size(), max_labels));
  std::ranges::sort(shown);
  std::string text;
  for (const auto& [label, count] : shown) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", label, count);
  return labels.size() > shown.size() ? fmt::format("{}, {} more", text, labels.size() - shown.size()) : text;
}

// "12 to 2034 (median 180)"
template <class Of>
std::string range_text(std::span<const ClientStatistics> clients, const Of& of) {
  std::vector<std::int64_t> values;
  for (const ClientStatistics& client : clients) values.push_back(of(client));
  std::ranges::sort(values);
  return fmt::format("{} to {} (median {})", values.front(), values.back(), values[(values.size() - 1) / 2]);
}

std::int64_t count_of(const nlohmann::json& value) {
  const auto count = json_integer<std::int64_t>(value);
  if (count < 0) throw Error("a number of examples is negative");
  return count;
}

ClientStatistics client_of(const nlohmann::json& json, std::size_t client) {
  if (json_integer<std::size_t>(json.at("client")) != client || json.size() != 5) throw Error("not the next client");
  ClientStatistics result{.train_examples = count_of(json.at("train_examples")),
                          .test_examples = count_of(json.at("test_examples")),
                          .tokens = count_of(json.at("tokens")),
                          .labels = {}};
  std::int64_t rest = result.train_examples;
  for (const auto& [name, count] : json.at("labels").items()) {
    std::int64_t label = 0;
    const char* end = name.data() + name.size();
    if (const auto read = std::from_chars(name.data(), end, label); read.ec != std::errc() || read.ptr != end)
      throw Error("a label is not a whole number");
    if ((result.labels[label] = count_of(count)) > rest) break;
    rest -= result.labels[label];
  }
  if (rest != 0) throw Error("the labels are not those of the train examples");
  return result;
}

}  // namespace

std::vector<ClientStatistics> partition_statistics(const Partition& partition, const Dataset& dataset) {
  const auto labels = dataset.labels(Split::train), lengths = dataset.lengths(Split::train);
  std::vector<ClientStatistics> clients(partition.train.size());
  for (std::size_t i = 0; i < clients.size(); ++i) {
    clients[i].train_examples = std::ssize(partition.train[i]);
    if (!partition.test.empty()) clients[i].test_examples = std::ssize(partition.test[i]);
    for (const std::int64_t example : partition.train[i]) {
      clients[i].tokens += lengths[static_cast<std::size_t>(example)];
      ++clients[i].labels[labels[static_cast<std::size_t>(example)]];
    }
  }
  return clients;
}

std::string statistics_table(std::span<const ClientStatistics> clients, std::int64_t train_size) {
  std::string table =
      fmt::format("{:>8} {:>8} {:>8} {:>10}  {}\n", "client", "train", "test", "tokens", "train examples by label");
  for (std::size_t i = 0; i < std::min(clients.size(), max_rows); ++i)
    table += fmt::format("{:>8} {:>8} {:>8} {:>10}  {}\n", i, clients[i].train_examples, clients[i].test_examples,
                         clients[i].tokens, labels_text(clients[i].labels));
  std::int64_t used = 0;
  for (const ClientStatistics& client : clients) used += client.train_examples;
  return table + fmt::format("{} clients have {} of {} train examples, each {}; labels of a client {}", clients.size(),
                             used, train_size,
                             range_text(clients, [](const auto& client) { return client.train_examples; }),
                             range_text(clients, [](const auto& client) { return std::ssize(client.labels); }));
}

std::string statistics_json(std::span<const ClientStatistics> clients) {
  std::string text = "{\"clients\": [";
  for (std::size_t i = 0; i < clients.size(); ++i) {
    nlohmann::ordered_json labels = nlohmann::ordered_json::object();
    for (const auto& [label, count] : clients[i].labels) labels[std::to_string(label)] = count;
    const nlohmann::ordered_json client = {{"client", i},
                                           {"train_examples", clients[i].train_examples},
                                           {"test_examples", clients[i].test_examples},
                                           {"tokens", clients[i].tokens},
                                           {"labels", std::move(labels)}};
    text += (i == 0 ? "\n" : ",\n") + client.dump();
  }
  return text + "\n]}\n";
}

std::vector<ClientStatistics> statistics_from_json(const std::string& text) {
  constexpr int client_depth = 2, max_depth = 4;
  std::vector<ClientStatistics> clients;
  try {
    // Each client is read once it is complete, and no tree of all of them is kept.
    const auto take = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& json) {
      if (depth > max_depth) throw Error("it is nested too deep");
      if (depth != client_depth || event != nlohmann::json::parse_event_t::object_end) return true;
      clients.push_back(client_of(json, clients.size()));
      return false;
    };
    const nlohmann::json rest = nlohmann::json::parse(text, take);
    if (rest != nlohmann::json{{"clients", nlohmann::json::array()}}) throw Error("it is not a list of clients alone");
  } catch (const std::exception& error) {
    throw Error(fmt::format("after {} clients: {}", clients.size(), one_line(error)));
  }
  return clients;
}

}  // namespace fedmpi
