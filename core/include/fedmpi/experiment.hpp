#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "fedmpi/transport.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fedmpi {

// A job with its plugins loaded and checked against one another. Made on every rank alike, without communication and
// without writing anything.
struct Experiment {
  Job job;
  std::string resolved_job;  // TOML with every default written out
  std::unique_ptr<Strategy> strategy;
  std::unique_ptr<Model> model;
  std::function<std::unique_ptr<Model>()> another_model;  // makes one like it, with the same layout
  std::unique_ptr<Dataset> dataset;
  std::shared_ptr<Transport> transport;         // none: MPI
  at::Device device = at::kCPU;                 // on which clients are trained
  std::map<std::string, std::string> versions;  // of libraries and, as "plugin.model", the plugins' digests
  std::vector<Plugin> plugins;                  // of the strategy, the model, the dataset and the transport
};

// For the rank with this number among those of its node. Throws UserErrors: a plugin that is not there, a wrong option,
// a model and a dataset that do not fit together, no such device.
FEDMPI_API Experiment load_experiment(Job job, int place_on_node = 0);

}  // namespace fedmpi
