#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/plugin.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace fedmpi {

// A checkpoint's global model: its job's model plugin, with the checkpoint's roles and not bound, and its values.
// Neither data nor strategy is asked for.
struct TrainedModel {
  Checkpoint checkpoint;
  Job job;
  std::unique_ptr<Model> model;  // of the layout of checkpoint.parameters
};

// `settings` are --set arguments for keys of [model] and run.plugins, where files lie elsewhere by now. Throws
// UserErrors: a checkpoint that cannot be read, a plugin or a file of the model that is not there, one that is not what
// the checkpoint was made with.
FEDMPI_API TrainedModel load_trained_model(const std::filesystem::path& checkpoint,
                                           std::span<const std::string> settings,
                                           std::span<const std::filesystem::path> plugin_directories,
                                           PluginTrust trust = PluginTrust::own);

}  // namespace fedmpi
