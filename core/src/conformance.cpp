#include "fedmpi/conformance.hpp"

#include "conformance_checks.hpp"
#include "fedmpi/dataset.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/strategy.hpp"
#include "fedmpi/transport.hpp"
#include "option_check.hpp"

#include <string_view>
#include <vector>

namespace fedmpi {

namespace {

// What a plugin is tried in, unless the settings say otherwise.
constexpr const char* made_up_job = R"(
[run]
name = "check"
[federation]
clients = 9
[model]
name = "made_up"
[data]
name = "made_up"
[training]
local_epochs = 2
batch_size = 8
optimizer = "sgd"
learning_rate = 0.1
precision = "float32"
)";

std::string section_of(const Plugin& plugin) {
  const std::string kind = plugin.info->kind;
  return kind == "dataset" ? "data" : kind;
}

Job job_for(const Plugin& plugin, std::span<const std::string> settings) {
  if (plugin.info->kind == std::string_view(Transport::plugin_kind))  // no section is a transport's own
    return parse_job(made_up_job, "--check", settings);
  const std::string section = section_of(plugin);
  std::vector<std::string> overrides{fmt::format("{}.name={}", section, plugin.info->name)};
  for (const std::string& setting : settings) {
    const bool is_own = setting.substr(0, setting.find('=')).find('.') == std::string::npos;
    overrides.push_back(is_own ? fmt::format("{}.{}", section, setting) : setting);
  }
  return parse_job(made_up_job, "--check", overrides);
}

// The table was read when the plugin was loaded; this is what users see of it.
void check_options(const Plugin& plugin) {
  for (const OptionSpec& spec : plugin.options()) {
    const std::string_view name = spec.name, help = spec.help;
    if (help.empty()) fails("says nothing about its option '{}': write one line of help", name);
    if (help.find('\n') != std::string_view::npos) fails("has more than one line of help for its option '{}'", name);
    for (const char c : name)
      if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_')
        fails("has an option '{}', which a job file cannot set: take lower-case letters, digits and '_'", name);
    if (spec.minimum > spec.maximum)
      fails("has an option '{}' whose minimum, {}, is above its maximum, {}", name, spec.minimum, spec.maximum);
    if (spec.choices != nullptr)
      for (const std::string& choice : split(spec.choices, '|'))
        if (choice.empty()) fails("has an empty choice for its option '{}'", name);
  }
  if (*plugin.info->version == '\0') fails("has no version");
  if (*plugin.info->summary == '\0') fails("has no summary: say in one line what it is");
}

}  // namespace

bool Conformance::check(const std::string& name, const std::function<void()>& work) const {
  observer_.begin(name);
  Finding finding{.check = name, .failure = ""};
  const auto failed = [&](const std::string& how) {
    finding.failure =
        fmt::format("the {} plugin '{}' ({}) {}", plugin.info->kind, plugin.info->name, plugin.path.string(), how);
  };
  try {
    work();
  } catch (const CheckFailed& failure) {
    failed(failure.how);
  } catch (const PluginError& error) {
    finding.failure = error.what();  // names the plugin
  } catch (const std::exception& error) {
    failed(fmt::format("failed when it was tried: {}", one_line(error)));
  } catch (...) {
    failed("throws something that is no std::exception");
  }
  observer_.end(finding);
  return finding.failure.empty();
}

void check_conformance(const Plugin& plugin, std::span<const std::string> settings, const FindingObserver& observer) {
  const Job job = job_for(plugin, settings);
  const Conformance conformance(plugin, job, observer);
  if (!conformance.check("options", [&] { check_options(plugin); })) return;
  const std::string_view kind = plugin.info->kind;
  if (kind == Strategy::plugin_kind)
    check_strategy(conformance);
  else if (kind == Model::plugin_kind)
    check_model(conformance);
  else if (kind == Dataset::plugin_kind)
    check_dataset(conformance);
  else if (kind != Transport::plugin_kind)  // a transport shows what it does between ranks alone
    conformance.check("kind",
                      [&] { fails("is a '{}', which no job asks for: strategy, model, dataset or transport", kind); });
}

}  // namespace fedmpi
