#include "fedmpi/trained_model.hpp"

#include "file_error.hpp"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

void check_settings(std::span<const std::string> settings) {
  for (const std::string& setting : settings)
    if (!setting.starts_with("model.") && !setting.starts_with("run.plugins="))
      throw ConfigError(fmt::format("--set {}: the model alone is loaded: set keys of [model], such as model.path, or "
                                    "run.plugins",
                                    setting),
                        "--set", setting.substr(0, setting.find('=')));
}

std::unique_ptr<Model> make_model(const Plugin& plugin, const Job& job) {
  const Options options = plugin_options(job.model, plugin.options(), "model", job);
  try {
    return make<Model>(plugin, options);
  } catch (const FileError& error) {
    if (!options.has("path")) throw;
    throw FileError(
        fmt::format("{}; if the model's files lie elsewhere by now, add --set model.path=...", error.what()),
        error.path);
  }
}

bool same_tensors(const Layout& model, const Layout& saved) {
  if (model.num_tensors() != saved.num_tensors() || model.size() != saved.size()) return false;
  for (std::size_t i = 0; i < model.num_tensors(); ++i) {
    const auto same = saved.find(model.spec(i).name);
    if (!same || saved.spec(*same).shape != model.spec(i).shape || saved.offset(*same) != model.offset(i)) return false;
  }
  return true;
}

// False where the model has no such tensors.
bool take_roles(const Layout& saved, Model& model) {
  bool is_changed = false, is_known = true;
  const auto role_of = [&](const TensorSpec& tensor) {
    const auto same = saved.find(tensor.name);
    is_known = is_known && same;
    const TensorRole role = same ? saved.spec(*same).role : tensor.role;
    is_changed = is_changed || role != tensor.role;
    return role;
  };
  try {
    Layout layout = model.layout().with_roles(role_of);
    if (is_known && is_changed) model.set_layout(std::move(layout));
  } catch (const std::logic_error&) {  // a parameter cannot be what a statistic is
    return false;
  }
  return is_known && same_tensors(model.layout(), saved);
}

}  // namespace

TrainedModel load_trained_model(const std::filesystem::path& path, std::span<const std::string> settings,
                                std::span<const std::filesystem::path> plugin_directories, PluginTrust trust) {
  check_settings(settings);
  TrainedModel trained{.checkpoint = load_checkpoint(path), .job = {}, .model = {}};
  const Checkpoint& checkpoint = trained.checkpoint;
  trained.job = parse_job(checkpoint.job, path.string(), settings);
  std::vector<std::filesystem::path>& directories = trained.job.plugin_directories;
  directories.insert(directories.begin(), plugin_directories.begin(), plugin_directories.end());
  const std::string& name = trained.job.model.name;
  trained.model =
      make_model(load_plugin(Model::plugin_kind, name, plugin_search_path(directories), trust), trained.job);
  if (trained.model->digest() != checkpoint.model_digest)
    throw file_error(path,
                     fmt::format("was made with other files of the model '{}' than are there now: give those that "
                                 "it was trained with by --set model.path=...",
                                 name));
  if (!take_roles(checkpoint.layout, *trained.model))
    throw file_error(path, fmt::format("holds other tensors than the model '{}' has as its job is now: give by --set "
                                       "the [model] that it was trained with",
                                       name));
  return trained;
}

}  // namespace fedmpi
