#include "run_command.hpp"

#include "fedmpi/communicator.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/federation.hpp"
#include "fedmpi/log.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace fedmpi {

namespace {

struct RunArguments {
  std::string job;
  std::vector<std::string> settings;
  std::string output;
  std::vector<std::string> plugin_directories;
  bool resume = false;
};

Job make_job(const RunArguments& arguments, const std::string& text) {
  Job job = parse_job(text, arguments.job, arguments.settings);
  if (!arguments.output.empty()) job.run.output = arguments.output;
  job.plugin_directories.insert(job.plugin_directories.begin(), arguments.plugin_directories.begin(),
                                arguments.plugin_directories.end());
  return job;
}

void run_on_all_ranks(const RunArguments& arguments, Communicator& communicator) {
  // One rank reads the file: others may not see it, or see an older one.
  std::string text;
  agree(communicator, [&] {
    if (communicator.is_server()) text = read_job_file(arguments.job);
  });
  communicator.broadcast(text);
  Experiment experiment;
  agree(communicator, [&] { experiment = load_experiment(make_job(arguments, text)); });
  run_federation(communicator, experiment, arguments.resume ? StartMode::resume : StartMode::fresh);
}

void run(const RunArguments& arguments, int& argc, char**& argv) {
  std::optional<AgreedError> agreed;
  {
    const MpiSession session(argc, argv);
    Communicator communicator(session);
    set_log_rank(communicator.rank(), communicator.size());
    try {
      run_on_all_ranks(arguments, communicator);
    } catch (const AgreedError& error) {
      // Every rank is here: MPI ends in order, and only then the error goes on its way.
      agreed = error;
    }
    close_log();
  }
  if (agreed) throw *agreed;
}

}  // namespace

void add_run_command(CLI::App& program, int& argc, char**& argv) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = program.add_subcommand("run", "run a federated job");
  command->add_option("job", arguments->job, "job file (TOML)")->required();
  command->add_option("--set", arguments->settings, "override a key: --set training.batch_size=16 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--output", arguments->output, "directory of the run, instead of run.output")->type_name("DIR");
  command->add_option("--plugins", arguments->plugin_directories, "look for plugins here first (repeatable)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command->add_flag("--resume", arguments->resume, "go on from the newest good checkpoint in the output directory");
  command->footer(
      "Examples:\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml --set run.rounds=5 --output runs/five\n"
      "  mpirun -np 3 fedmpi run jobs/imdb.toml --resume");
  command->callback([arguments, &argc, &argv] { run(*arguments, argc, argv); });
}

}  // namespace fedmpi
