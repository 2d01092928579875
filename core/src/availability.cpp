#include "availability.hpp"

#include "rule_choice.hpp"
#include "rule_json.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include <fmt/format.h>

namespace fedmpi {

Availability::Availability(const RuleChoice& rule, int num_clients, int num_rounds)
    : num_rounds_{num_rounds}, stays_(static_cast<std::size_t>(num_clients)) {
  const nlohmann::json file = rule_json(rule, {"rounds", "clients"});
  if (file.size() != 1) refuse_file(rule, "has both \"rounds\" and \"clients\", or neither: it must have one of them");
  if (file.contains("rounds")) {
    const auto& rounds = rule_list(rule, file["rounds"], "\"rounds\"");
    if (std::ssize(rounds) < num_rounds)
      refuse_file(rule, fmt::format("says who is there in {} rounds, but run.rounds is {}", rounds.size(), num_rounds));
    for (std::int64_t round = 1; round <= std::ssize(rounds); ++round) {
      const std::string what = fmt::format("the clients of round {}", round);
      for (const auto& one : rule_list(rule, rounds[static_cast<std::size_t>(round - 1)], what)) {
        const std::int64_t client = rule_index(rule, one, num_clients, what);
        std::vector<Stay>& stays = stays_[static_cast<std::size_t>(client)];
        if (!stays.empty() && stays.back().last == round)
          refuse_file(rule, fmt::format("{}: {} stands there twice", what, client));
        if (!stays.empty() && stays.back().last == round - 1)
          stays.back().last = round;
        else
          stays.push_back({round, round});
      }
    }
    return;
  }
  const auto& clients = rule_list(rule, file["clients"], "\"clients\"");
  if (std::ssize(clients) != num_clients)
    refuse_file(rule,
                fmt::format("has stays of {} clients, but federation.clients is {}", clients.size(), num_clients));
  for (std::size_t client = 0; client < clients.size(); ++client) {
    const std::string what = fmt::format("the stays of client {}", client);
    for (const auto& one : rule_list(rule, clients[client], what)) {
      if (rule_list(rule, one, what + ": each of them").size() != 2)
        refuse_file(rule, what + ": each of them must be a list of its first and its last round");
      constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
      const Stay stay{rule_index(rule, one[0], limit, what), rule_index(rule, one[1], limit, what)};
      const std::int64_t before = stays_[client].empty() ? 0 : stays_[client].back().last;
      if (stay.first <= before || stay.last < stay.first)
        refuse_file(rule, fmt::format("{}: [{}, {}] must begin after round {} and not end before it begins", what,
                                      stay.first, stay.last, before));
      stays_[client].push_back(stay);
    }
  }
}

std::vector<std::int64_t> Availability::clients(int round) const {
  std::vector<std::int64_t> present;
  for (std::size_t client = 0; client < stays_.size(); ++client) {
    const std::vector<Stay>& stays = stays_[client];
    const auto stay = std::ranges::lower_bound(stays, round, {}, &Stay::last);
    if (stay != stays.end() && stay->first <= round) present.push_back(static_cast<std::int64_t>(client));
  }
  return present;
}

std::vector<Availability::Stretch> Availability::stretches() const {
  std::map<std::int64_t, std::int64_t> changes{{1, 0}};  // round -> how many clients more than in the one before
  for (const auto& stays : stays_) {
    for (const Stay& stay : stays) {
      ++changes[stay.first];
      --changes[stay.last + 1];
    }
  }
  std::vector<Stretch> stretches;
  std::int64_t present = 0;
  for (auto change = changes.begin(); change != changes.end() && change->first <= num_rounds_; ++change) {
    present += change->second;
    const auto next = std::next(change);
    const std::int64_t last = next == changes.end() ? num_rounds_ : std::min(next->first - 1, num_rounds_);
    stretches.push_back({change->first, last, present});
  }
  return stretches;
}

}  // namespace fedmpi
