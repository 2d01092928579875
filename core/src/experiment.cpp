#include "fedmpi/experiment.hpp"

#include "client.hpp"
#include "cohort.hpp"
#include "device.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "made_up_federation.hpp"
#include "rule_choice.hpp"

#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace fedmpi {

namespace {

const char* name_of(Task task) {
  return task == Task::regression ? "regression (numbers)" : "classification (labels)";
}

void check_fit(const Experiment& experiment) {
  const Model& model = *experiment.model;
  const Dataset& dataset = *experiment.dataset;
  const Job& job = experiment.job;
  if (!model.runs_on(experiment.device.type()))
    throw ConfigError(
        fmt::format("{}: the model '{}' trains on CPUs alone: set run.device = \"cpu\", or choose another", job.source,
                    job.model.name),
        job.source, "run.device");
  if (dataset.task() != model.task())
    throw ConfigError(
        fmt::format("{}: the dataset '{}' is for {}, but the model '{}' for {}: choose another of the two", job.source,
                    job.dataset.name, name_of(dataset.task()), job.model.name, name_of(model.task())),
        job.source, "model.name");
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
  if (model.layout().shared_parameters_size() == 0)
    throw ConfigError(fmt::format("{}: the strategy '{}' leaves nothing of the model '{}' to be averaged", job.source,
                                  job.strategy.name, job.model.name),
                      job.source, "strategy.name");
  const Exchange exchange = experiment.strategy->exchange();
  const bool by_slices = exchange.aggregation == Aggregation::slices;
  if (by_slices ? exchange.num_extra_updates > 0 : exchange.products)
    throw UserError(fmt::format("the strategy '{}' asks for {}: its plugin is wrong", job.strategy.name,
                                by_slices ? "slices and extra updates" : "products without slices"));
  if (exchange.personal_model && exchange.num_client_vectors == 0)
    throw UserError(fmt::format(
        "the strategy '{}' has a personal model but no client vector for it: its plugin is wrong", job.strategy.name));
  const KeptSizes kept = kept_sizes(exchange, model.layout(), job.federation.compression);
  if (job.checkpoint.within_round_seconds > 0.0 && kept.residual > 0)
    throw ConfigError(
        fmt::format("{}: checkpoint.within_round_seconds keeps sums, but with error feedback each client keeps what it "
                    "has not sent: set it to 0, or federation.compression.error_feedback to false",
                    job.source),
        job.source, "checkpoint.within_round_seconds");
  const bool only_sums = !by_slices && kept.total() == 0;
  if (job.checkpoint.within_round_seconds > 0.0 && !only_sums)
    throw ConfigError(
        fmt::format("{}: checkpoint.within_round_seconds keeps sums, but the strategy '{}' needs more than "
                    "the sum of a round: set it to 0",
                    job.source, job.strategy.name),
        job.source, "checkpoint.within_round_seconds");
}

Layout with_roles_of(const Strategy& strategy, const Layout& proposed) {
  return proposed.with_roles([&](const TensorSpec& tensor) {
    return tensor.role == TensorRole::frozen ? TensorRole::frozen : strategy.role(tensor);
  });
}

void assign_roles(Model& model, Layout layout) {
  const Layout& proposed = model.layout();
  bool is_changed = false;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i)
    is_changed = is_changed || layout.spec(i).role != proposed.spec(i).role;
  if (is_changed) model.set_layout(std::move(layout));
}

// A strategy that cannot put updates together shows that before the run writes anything: an object of its own is tried
// on made-up clients, as many as there will be in a round.
void try_strategy(const Plugin& plugin, const Options& options, const Experiment& experiment) {
  const FederationSettings& federation = experiment.job.federation;
  std::vector<std::int64_t> cohort(
      static_cast<std::size_t>(cohort_size(federation.clients, federation.fraction_fit, federation.min_fit_clients)));
  std::iota(cohort.begin(), cohort.end(), std::int64_t{0});
  const auto failed = [&](const std::string& how) {
    throw_plugin_error(plugin, fmt::format("failed when it was tried on made-up updates of {} client{}: {}",
                                           cohort.size(), cohort.size() == 1 ? "" : "s", how));
  };
  TrainingSettings training = experiment.job.training;
  training.learning_rate = 0.01;  // small updates: only whether they can be put together counts
  try {
    MadeUpFederation(training, federation.clients, 1, with_single_elements(experiment.model->layout()), [&] {
      return make<Strategy>(plugin, options);
    }).run_round(cohort);
  } catch (const Error& error) {  // it knows what it cannot do
    throw ConfigError(fmt::format("{}: {}", experiment.job.source, one_line(error)), experiment.job.source, "strategy");
  } catch (const std::exception& error) {
    failed(one_line(error));
  } catch (...) {
    failed("it threw something that is no std::exception");
  }
}

}  // namespace

Experiment load_experiment(Job job, int place_on_node) {
  Experiment experiment{.job = std::move(job), .versions = library_versions()};
  load_rule_files(experiment.job);
  experiment.device = open_device(experiment.job.run.device, place_on_node);
  experiment.versions.merge(device_versions(experiment.device));
  const auto search_path = plugin_search_path(experiment.job.plugin_directories);
  const auto choose = [&]<class Interface>(std::unique_ptr<Interface>& object, const PluginChoice& choice,
                                           const char* section) {
    const Plugin plugin = load_plugin(Interface::plugin_kind, choice.name, search_path,
                                      experiment.job.trust_plugins ? PluginTrust::any : PluginTrust::own);
    Options options = plugin_options(choice, plugin.options(), section, experiment.job);
    object = make<Interface>(plugin, options);
    // What carries the parameters changes none of them.
    if (Interface::plugin_kind != Transport::plugin_kind)
      experiment.versions[std::string("plugin.") + Interface::plugin_kind] = plugin.digest;
    experiment.plugins.push_back(plugin);
    return std::pair(plugin, std::move(options));
  };
  const auto [strategy_plugin, strategy] = choose(experiment.strategy, experiment.job.strategy, "strategy");
  const auto [model_plugin, model] = choose(experiment.model, experiment.job.model, "model");
  const Options dataset = choose(experiment.dataset, experiment.job.dataset, "data").second;
  if (experiment.job.federation.transport != "mpi") {
    std::unique_ptr<Transport> transport;
    choose(transport, {.name = experiment.job.federation.transport}, "federation");
    experiment.transport = std::move(transport);
  }
  experiment.resolved_job = resolved_toml(experiment.job, strategy, model, dataset);
  const Layout layout = with_roles_of(*experiment.strategy, experiment.model->layout());
  assign_roles(*experiment.model, layout);
  experiment.another_model = [plugin = model_plugin, options = model, layout] {
    auto another = make<Model>(plugin, options);
    assign_roles(*another, layout);
    return another;
  };
  experiment.strategy->prepare(experiment.job.training, experiment.model->layout(), experiment.job.federation.clients);
  check_fit(experiment);
  try_strategy(strategy_plugin, strategy, experiment);
  return experiment;
}

}  // namespace fedmpi
