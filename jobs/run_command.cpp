#include "run_command.hpp"

#include "launch.hpp"

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

void add_run_command(CLI::App& program, int& argc, char**& argv, int& status) {
  struct Arguments {
    RunRequest request;
    std::vector<std::string> sweeps;
    int ranks_per_run = 0;
  };
  auto arguments = std::make_shared<Arguments>();
  const std::shared_ptr<RunRequest> request(arguments, &arguments->request);
  CLI::App* command = program.add_subcommand("run", "run a federated job");
  command->add_option("job", request->job, "job file (TOML)")->required();
  command->add_option("--set", request->settings, "override a key: --set training.batch_size=16 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--output", request->output, "directory of the run, instead of run.output")
      ->type_name("DIR")
      ->check([](const std::string& path) { return std::string(path.empty() ? "needs the name of a directory" : ""); });
  add_plugin_options(*command, request->plugin_directories, request->trust_plugins);
  CLI::Option* resume = command->add_flag_callback(
      "--resume", [request] { request->mode = RunMode::resume; },
      "go on from the newest good checkpoint in the output directory");
  command
      ->add_flag_callback(
          "--resume-or-start", [request] { request->mode = RunMode::resume_or_start; },
          "the same where there is a checkpoint, else start: for batch scripts that are started again")
      ->excludes(resume);
  command
      ->add_option_function<std::string>(
          "--on-signal",
          [request](const std::string& word) {
            request->on_signal = word == "finish" ? OnSignal::finish : OnSignal::abandon;
          },
          "what becomes of the round when SIGINT, SIGTERM or SIGUSR1 arrives (default abandon)")
      ->option_text("abandon|finish")
      ->check([](const std::string& word) {
        return word == "abandon" || word == "finish" ? "" : fmt::format("takes abandon or finish, not '{}'", word);
      });
  CLI::Option* sweep =
      command
          ->add_option("--sweep", arguments->sweeps,
                       "a run for each value: --sweep strategy.name=fedavg,fedmedian (repeatable: every combination)")
          ->type_name("KEY=VALUE,...")
          ->allow_extra_args(false);
  command
      ->add_option("--ranks-per-run", arguments->ranks_per_run,
                   "of a sweep (default: so few that all its runs start at once)")
      ->check(CLI::Range(1, 1 << 20))
      ->option_text("N")
      ->needs(sweep);
  command->footer(
      "Examples:\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml --set run.rounds=5 --output runs/five\n"
      "  mpirun -np 3 fedmpi run jobs/imdb.toml --resume\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml --sweep strategy.name=fedavg,fedmedian --sweep seed=1,2,3");
  command->callback([arguments, &argc, &argv, &status] {
    status = arguments->sweeps.empty()
                 ? launch(arguments->request, argc, argv)
                 : launch_sweep(arguments->request, arguments->sweeps, arguments->ranks_per_run, argc, argv);
  });
}

}  // namespace fedmpi
