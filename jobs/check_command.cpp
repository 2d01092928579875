#include "check_command.hpp"

#include "check_text.hpp"
#include "launch.hpp"

#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

void add_check_command(CLI::App& program, int& argc, char**& argv, int& status) {
  auto request = std::make_shared<CheckRequest>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      program.add_subcommand("check", "what would go wrong with a job, and the time, memory and disk that it takes");
  command->add_option("job", request->run.job, "job file (TOML)")->required();
  command->add_option("--set", request->run.settings, "override a key: --set training.batch_size=16 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--output", request->run.output, "directory that the run would have, instead of run.output")
      ->type_name("DIR")
      ->check([](const std::string& path) { return std::string(path.empty() ? "needs the name of a directory" : ""); });
  add_plugin_options(*command, request->run.plugin_directories, request->run.trust_plugins);
  command->add_flag_callback(
      "--resume", [request] { request->run.mode = RunMode::resume; }, "of a run that goes on");
  command->add_option("--ranks", request->ranks, "predict for so many ranks, not for those that this is started on")
      ->check(CLI::Range(1, 100'000));
  command->add_option("--nodes", request->nodes, "predict for so many nodes like this one")
      ->check(CLI::Range(1, 100'000));
  command->add_flag("--json", *json, "as JSON");
  command->footer(
      "Works for some seconds like the run, predicts the rest, and writes nothing. Exit status 2 when the run would "
      "be\n"
      "refused, with its sentence.\n"
      "Examples:\n"
      "  mpirun -np 8 fedmpi check jobs/imdb.toml\n"
      "  fedmpi check jobs/imdb.toml --ranks 64 --nodes 4");
  command->callback([request, json, &argc, &argv, &status] {
    status = launch(*request, argc, argv,
                    [json](const CheckReport& report) { fmt::print("{}", *json ? json_of(report) : text_of(report)); });
  });
}

}  // namespace fedmpi
