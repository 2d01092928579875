#include "verify_command.hpp"

#include "launch.hpp"

#include <memory>

#include <CLI/CLI.hpp>

namespace fedmpi {

void add_verify_command(CLI::App& program, int& argc, char**& argv, int& status) {
  auto request = std::make_shared<RunRequest>();
  request->mode = RunMode::verify;
  CLI::App* command = program.add_subcommand("verify", "run a checkpoint's rounds again and compare digests");
  command->add_option("checkpoint", request->job, "DIR/checkpoints/round_0003.h5 of a run")->required();
  command->add_option("--rounds", request->num_rounds, "stop after so many rounds")->check(CLI::Range(1, 1 << 30));
  command->add_flag("--from-start", request->from_start,
                    "begin with round 0, not with an older checkpoint beside this one");
  command->add_option("--set", request->settings, "override a key of its job: --set data.path=DIR (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  add_plugin_options(*command, request->plugin_directories, request->trust_plugins);
  command->footer(
      "Any number of ranks and threads gives the same digests. Nothing is written.\n"
      "Example:\n"
      "  mpirun -np 3 fedmpi verify runs/imdb/checkpoints/round_0003.h5");
  command->callback([request, &argc, &argv, &status] { status = launch(*request, argc, argv); });
}

}  // namespace fedmpi
