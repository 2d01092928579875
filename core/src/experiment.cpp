#include "fedmpi/experiment.hpp"

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"

#include <fmt/format.h>

namespace fedmpi {

namespace {

void check_fit(const Experiment& experiment) {
  const Model& model = *experiment.model;
  const Dataset& dataset = *experiment.dataset;
  const Job& job = experiment.job;
  if (dataset.num_labels() > model.num_labels())
    throw ConfigError(
        fmt::format("{}: the dataset has {} labels, but the model is made for {}: set model.num_labels = {}",
                    job.source, dataset.num_labels(), model.num_labels(), dataset.num_labels()),
        job.source, "model.num_labels");
  const std::string model_vocabulary = model.vocabulary_digest(), data_vocabulary = dataset.vocabulary_digest();
  if (!model_vocabulary.empty() && !data_vocabulary.empty() && model_vocabulary != data_vocabulary)
    throw ConfigError(fmt::format("{}: the shards were tokenized with another vocabulary ({:.12}) than the model's "
                                  "vocab.txt ({:.12}): run `fedmpi prepare` again with the model's vocab.txt",
                                  job.source, data_vocabulary, model_vocabulary),
                      job.source, "data.path");
  for (std::size_t i = 0; i < model.layout().num_tensors(); ++i)
    if (model.layout().spec(i).role == TensorRole::local)
      throw ConfigError(fmt::format("{}: the model '{}' has tensors that stay with their client ('{}'), which this "
                                    "version does not train: choose a model whose tensors are shared or frozen",
                                    job.source, job.model.name, model.layout().spec(i).name),
                        job.source, "model.name");
}

}  // namespace

Experiment load_experiment(Job job) {
  Experiment experiment{.job = std::move(job), .versions = library_versions()};
  const auto search_path = plugin_search_path(experiment.job.plugin_directories);
  const auto choose = [&]<class Interface>(std::unique_ptr<Interface>& object, const PluginChoice& choice,
                                           const char* section) {
    const Plugin plugin = load_plugin(Interface::plugin_kind, choice.name, search_path,
                                      experiment.job.trust_plugins ? PluginTrust::any : PluginTrust::own);
    Options options = plugin_options(choice, plugin.options(), section, experiment.job);
    object = make<Interface>(plugin, options);
    experiment.versions[std::string("plugin.") + Interface::plugin_kind] = plugin.digest;
    return options;
  };
  const Options strategy = choose(experiment.strategy, experiment.job.strategy, "strategy");
  const Options model = choose(experiment.model, experiment.job.model, "model");
  const Options dataset = choose(experiment.dataset, experiment.job.dataset, "data");
  experiment.resolved_job = resolved_toml(experiment.job, strategy, model, dataset);
  check_fit(experiment);
  return experiment;
}

}  // namespace fedmpi
