#pragma once

#include "fedmpi/options.hpp"
#include "fedmpi/plugin.hpp"

#include <span>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace fedmpi {

// How tables of options, the core's own and the plugins', are shown.

const char* short_type(OptionType type);           // "integer"
std::string default_text(const OptionSpec& spec);  // "required", "may be left out" or the value
std::string help_with_range(const OptionSpec& spec);

void print_options(std::span<const OptionSpec> table);  // on standard output, a line each, indented
nlohmann::ordered_json options_json(std::span<const OptionSpec> table);

// All that a job may say: its sections, the rules of its partitions and samplings, and the options of these plugins, as
// a page of Markdown.
std::string keys_page(std::span<const Plugin> plugins);

}  // namespace fedmpi
