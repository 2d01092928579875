// The rule that goes by a file.
#include "partition_rules.hpp"
#include "rule_choice.hpp"
#include "rule_json.hpp"

#include <fmt/format.h>

namespace fedmpi {

namespace {

Parts read_parts(const RuleChoice& rule, const nlohmann::json& lists, const char* split, std::int64_t size,
                 int clients) {
  rule_list(rule, lists, fmt::format("\"{}\"", split));
  if (std::ssize(lists) != clients)
    refuse_file(rule,
                fmt::format("has {} lists of {} examples, but federation.clients is {}", lists.size(), split, clients));
  std::vector<std::int64_t> owner(static_cast<std::size_t>(size), -1);
  Parts parts;
  for (std::int64_t client = 0; client < clients; ++client) {
    const auto& list = lists[static_cast<std::size_t>(client)];
    const std::string what = fmt::format("the {} examples of client {}", split, client);
    std::vector<std::int64_t>& mine = parts.emplace_back();
    for (const auto& one : rule_list(rule, list, what)) {
      const std::int64_t example = rule_index(rule, one, size, what);
      std::int64_t& whose = owner[static_cast<std::size_t>(example)];
      if (whose >= 0)
        refuse_file(rule, whose == client
                              ? fmt::format("gives the {} example {} to client {} twice", split, example, client)
                              : fmt::format("gives the {} example {} to client {} and to client {}", split, example,
                                            whose, client));
      whose = client;
      mine.push_back(example);
    }
  }
  return parts;
}

}  // namespace

IndexedParts indexed_parts(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const nlohmann::json file = rule_json(rule, {"train", "test"});
  if (!file.contains("train")) refuse_file(rule, "has no \"train\", a list of examples for each client");
  const int clients = job.federation.clients;
  IndexedParts parts{.train = read_parts(rule, file["train"], "train", dataset.size(Split::train), clients),
                     .test = {}};
  if (file.contains("test")) parts.test = read_parts(rule, file["test"], "test", dataset.size(Split::test), clients);
  return parts;
}

}  // namespace fedmpi
