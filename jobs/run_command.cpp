#include "run_command.hpp"

#include "launch.hpp"

#include <map>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

namespace fedmpi {

void add_run_command(CLI::App& program, int& argc, char**& argv, int& status) {
  auto request = std::make_shared<RunRequest>();
  CLI::App* command = program.add_subcommand("run", "run a federated job");
  command->add_option("job", request->job, "job file (TOML)")->required();
  command->add_option("--set", request->settings, "override a key: --set training.batch_size=16 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--output", request->output, "directory of the run, instead of run.output")
      ->type_name("DIR")
      ->check([](const std::string& path) { return std::string(path.empty() ? "needs the name of a directory" : ""); });
  command->add_option("--plugins", request->plugin_directories, "look for plugins here first (repeatable)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command->add_flag("--trust-plugins", request->trust_plugins, "load plugins that other users could change");
  command->add_flag_callback(
      "--resume", [request] { request->mode = RunMode::resume; },
      "go on from the newest good checkpoint in the output directory");
  command
      ->add_option("--on-signal", request->on_signal,
                   "what becomes of the round when SIGINT, SIGTERM or SIGUSR1 arrives (default abandon)")
      ->type_name("abandon|finish")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, OnSignal>{{"abandon", OnSignal::abandon}, {"finish", OnSignal::finish}}));
  command->footer(
      "Examples:\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml --set run.rounds=5 --output runs/five\n"
      "  mpirun -np 3 fedmpi run jobs/imdb.toml --resume");
  command->callback([request, &argc, &argv, &status] { status = launch(*request, argc, argv); });
}

}  // namespace fedmpi
