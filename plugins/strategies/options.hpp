#pragma once

#include "fedmpi/options.hpp"

namespace fedmpi {

// Rows that several strategies have.
constexpr OptionSpec compat_option{.name = "compat",
                                   .type = OptionType::string,
                                   .default_value = "paper",
                                   .help = "whose numbers, where Flower departs from the paper",
                                   .choices = "paper|flower"};

constexpr OptionSpec malicious_option{.name = "num_malicious_clients",
                                      .type = OptionType::integer,
                                      .default_value = "0",
                                      .help = "f: of a round's clients, how many may send anything",
                                      .minimum = 0,
                                      .maximum = 1e6};

constexpr OptionSpec positive_option(const char* name, const char* default_value, const char* help) {
  return {.name = name, .type = OptionType::number, .default_value = default_value, .help = help, .minimum = 0};
}

// Below 1.
constexpr OptionSpec fraction_option(const char* name, const char* default_value, const char* help) {
  return {.name = name,
          .type = OptionType::number,
          .default_value = default_value,
          .help = help,
          .minimum = 0,
          .maximum = 1.0 - 0x1p-20};
}

constexpr OptionSpec tau_option{.name = "tau",
                                .type = OptionType::number,
                                .default_value = "1e-3",
                                .help = "adaptivity, above 0: smaller is more adaptive",
                                .minimum = 1e-30};

}  // namespace fedmpi
