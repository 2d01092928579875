#include "run_command.hpp"

#include "fedmpi/communicator.hpp"
#include "fedmpi/federation.hpp"
#include "fedmpi/log.hpp"

#include <memory>
#include <optional>

#include <CLI/CLI.hpp>

namespace fedmpi {

namespace {

void run(const RunRequest& request, int& argc, char**& argv) {
  std::optional<AgreedError> agreed;
  {
    const MpiSession session(argc, argv);
    Communicator communicator(session);
    set_log_rank(communicator.rank(), communicator.size());
    try {
      run_federation(communicator, request);
    } catch (const AgreedError& error) {
      // Every rank is here: MPI ends in order, and only then the error goes on its way.
      agreed = error;
    }
  }
  if (agreed) throw *agreed;
}

}  // namespace

void add_run_command(CLI::App& program, int& argc, char**& argv) {
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
  command->add_flag_callback(
      "--resume", [request] { request->mode = StartMode::resume; },
      "go on from the newest good checkpoint in the output directory");
  command->footer(
      "Examples:\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml\n"
      "  mpirun -np 8 fedmpi run jobs/imdb.toml --set run.rounds=5 --output runs/five\n"
      "  mpirun -np 3 fedmpi run jobs/imdb.toml --resume");
  command->callback([request, &argc, &argv] { run(*request, argc, argv); });
}

}  // namespace fedmpi
