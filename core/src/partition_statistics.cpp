#include "partition_statistics.hpp"

#include <algorithm>
#include <array>
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

}  // namespace fedmpi
