#pragma once

#include "fedmpi/conformance.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"

#include <functional>
#include <string>

#include <fmt/format.h>

namespace fedmpi {

// The checks of one plugin, one after another.
class Conformance {
 public:
  Conformance(const Plugin& of, const Job& in, const FindingObserver& observer)
      : plugin{of}, job{in}, observer_{observer} {}

  // Runs `work`, which calls fails() or throws what the plugin throws. Returns whether it passed.
  bool check(const std::string& name, const std::function<void()>& work) const;

  const Plugin& plugin;
  const Job& job;

 private:
  const FindingObserver& observer_;
};

// What comes after the plugin's name in a failure's sentence: "forgets its state".
struct CheckFailed {
  std::string how;
};

template <class... Arguments>
[[noreturn]] void fails(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw CheckFailed{fmt::format(format, std::forward<Arguments>(arguments)...)};
}

void check_strategy(const Conformance& conformance);
void check_model(const Conformance& conformance);
void check_dataset(const Conformance& conformance);

}  // namespace fedmpi
