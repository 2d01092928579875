#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "job_text.hpp"

#include <string>
#include <vector>

namespace fedmpi {

// What the job gives the rule called `name`, checked against the rule's table: a single number is taken where a list of
// numbers is asked for. Throws ConfigError.
RuleChoice read_rule(const JobText& text, const std::string& section, const std::string& key, const std::string& name);

// Reads the files that the job's rules name and writes their digests into the rules' options, so that the digests
// become part of the resolved job. ConfigError for a file that cannot be read or, where the job says which digest the
// file has, has another one.
FEDMPI_API void load_rule_files(Job& job);

// ConfigError: "<where the key stands, or else the rule's name>: <message>".
[[noreturn]] void refuse(const RuleChoice& rule, const std::string& key, const std::string& message);

// FileError: "<the rule's file>: <what is wrong>".
[[noreturn]] void refuse_file(const RuleChoice& rule, const std::string& what);

}  // namespace fedmpi
