#pragma once

#include "fedmpi/job.hpp"

#include <initializer_list>
#include <string>

#include <nlohmann/json.hpp>

namespace fedmpi {

// The file of a rule, an object with no other keys than `keys`. FileError.
nlohmann::json rule_json(const RuleChoice& rule, std::initializer_list<const char*> keys);

// `value` as a number of 0..limit-1; FileError naming `what` ("client 3 in round 2") otherwise.
std::int64_t rule_index(const RuleChoice& rule, const nlohmann::json& value, std::int64_t limit,
                        const std::string& what);

// `value` when it is a list; FileError naming `what` otherwise.
const nlohmann::json& rule_list(const RuleChoice& rule, const nlohmann::json& value, const std::string& what);

}  // namespace fedmpi
