#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/plugin.hpp"

#include <functional>
#include <span>
#include <string>

namespace fedmpi {

// What came of one check: "" or one sentence that says how the plugin fails it.
struct Finding {
  std::string check;
  std::string failure;
};

// Told of each check before it begins, as a plugin may crash in it, and when it is done.
struct FindingObserver {
  std::function<void(const std::string& check)> begin;
  std::function<void(const Finding&)> end;
};

// Checks what every plugin of its kind must keep to (see the interfaces' comments): its options, the same results from
// two objects, on any number of ranks and threads and in any order, a state that can be restored, and what a model or a
// dataset has to be besides. Strategies and models are tried on made-up clients and examples. `settings` are as of
// --set: "key=value" of the plugin's own options, "section.key=value" of the job that it is tried in; with data.name a
// model is tried on that dataset's examples. Main thread only; changes the number of threads. Throws ConfigError for a
// setting that is not understood.
FEDMPI_API void check_conformance(const Plugin& plugin, std::span<const std::string> settings,
                                  const FindingObserver& observer);

}  // namespace fedmpi
