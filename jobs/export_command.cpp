#include "export_command.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/trained_model.hpp"
#include "interruption.hpp"
#include "launch.hpp"
#include "staged_output.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {
namespace {

struct ExportRequest {
  std::filesystem::path checkpoint, directory;
  std::vector<std::string> settings;
  std::vector<std::filesystem::path> plugin_directories;
  bool trust_plugins = false;
};

// A strategy that keeps a part of the model with the clients does not average it.
void tell_local_tensors(const TrainedModel& trained) {
  const Layout& layout = trained.checkpoint.layout;
  std::string first;
  int count = 0;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const TensorRole role = layout.spec(i).role;
    if (role != TensorRole::local && role != TensorRole::local_statistic) continue;
    if (count++ == 0) first = layout.spec(i).name;
  }
  if (count == 0) return;
  fmt::print("'{}' leaves {}{} with each client: here {} as the run began\n", trained.job.strategy.name, first,
             count == 1 ? "" : fmt::format(" and {} more", count - 1), count == 1 ? "it is" : "they are");
}

void export_model(const ExportRequest& request) {
  const TrainedModel trained = load_trained_model(request.checkpoint, request.settings, request.plugin_directories,
                                                  request.trust_plugins ? PluginTrust::any : PluginTrust::own);
  const Interruption interruption;  // outlives the output: a signal ends the process once that is put away
  StagedOutput output(request.directory, StagedOutput::Refused::anything);
  const std::vector<std::string> files =
      trained.model->export_to(output.staging(), trained.checkpoint.parameters, trained.checkpoint.label_names);
  interruption.check();
  output.commit(files);

  fmt::print("{}: the global model of '{}' after round {} (digest {:.12})\n", request.directory.string(),
             trained.job.run.name, trained.checkpoint.round, trained.checkpoint.digest);
  for (const std::string& file : files) {
    std::error_code error;
    fmt::print("  {:<24}{:>14} bytes\n", file, std::filesystem::file_size(request.directory / file, error));
  }
  tell_local_tensors(trained);
}

}  // namespace

void add_export_command(CLI::App& program) {
  auto request = std::make_shared<ExportRequest>();
  CLI::App* command = program.add_subcommand("export", "a checkpoint's global model in files that other programs open");
  command->add_option("checkpoint", request->checkpoint, "DIR/checkpoints/round_0003.h5 of a run")->required();
  command->add_option("directory", request->directory, "where to write them: empty, or made when missing")
      ->required()
      ->check([](const std::string& path) { return std::string(path.empty() ? "needs the name of a directory" : ""); });
  command
      ->add_option("--set", request->settings,
                   "override a key of [model], or run.plugins: --set model.path=DIR, where that is now (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  add_plugin_options(*command, request->plugin_directories, request->trust_plugins);
  command->footer(
      "transformer: a directory for from_pretrained of transformers, adapters merged into their matrices, and for\n"
      "model.path of another job. torchscript: model.pt for torch.jit.load. Others: model.safetensors, each tensor\n"
      "under its name in the layout. Of strategies with personal models the global model is written: what they leave\n"
      "with the clients is in it as the run began.\n"
      "Example:\n"
      "  fedmpi export runs/imdb/checkpoints/round_0003.h5 reviews-model");
  command->callback([request] { export_model(*request); });
}

}  // namespace fedmpi
