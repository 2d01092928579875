#include "report_command.hpp"

#include "fedmpi/error.hpp"
#include "file_error.hpp"
#include "report/markup.hpp"
#include "report/numbers.hpp"
#include "report/page.hpp"
#include "whole_file.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  std::vector<std::string> runs;
  std::string output = "report.html";
  bool json = false;
};

// A slip of the hand must not cost a file of a run.
void check_replaceable(const fs::path& path) {
  std::error_code error;
  if (const fs::path directory = path.parent_path(); !directory.empty() && !fs::is_directory(directory, error))
    throw file_error(path, fmt::format("could not be written, there is no directory {}: make it, or give another place "
                                       "with -o",
                                       directory.string()));
  if (fs::symlink_status(path, error).type() == fs::file_type::not_found) return;
  std::string start(report_start.size(), '\0');
  if (fs::is_regular_file(path, error)) std::ifstream(path, std::ios::binary).read(start.data(), std::ssize(start));
  if (start != report_start) throw file_error(path, "is there already and is no report: choose another name with -o");
}

std::vector<Run> read_runs(const std::vector<std::string>& directories) {
  std::vector<Run> runs;
  std::set<fs::path> seen;
  for (const std::string& directory : directories) {
    runs.push_back(read_run(directory));
    if (!seen.insert(fs::canonical(directory)).second)
      throw UserError(fmt::format("{} is given twice: name each run once", directory));
  }
  return runs;
}

void report(const ReportArguments& arguments) {
  if (!arguments.json) check_replaceable(arguments.output);
  const std::vector<Run> runs = read_runs(arguments.runs);
  const Comparison comparison = compare(runs);
  if (arguments.json) {
    fmt::print("{}\n", report_json(runs, comparison));
    return;
  }
  const std::string page = report_page(runs, comparison);
  write_whole_file(arguments.output, page);
  fmt::print("{}: {} run{}, {}\n", arguments.output, runs.size(), runs.size() == 1 ? "" : "s",
             bytes_text(std::ssize(page)));
}

}  // namespace

void add_report_command(CLI::App& program) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command = program.add_subcommand(
      "report", "curves, times, clients and failures of one or many runs as one self-contained page");
  command->add_option("runs", arguments->runs, "directories of runs, finished or not")->required()->type_name("RUN");
  CLI::Option* output =
      command->add_option("-o,--output", arguments->output, "the page (default report.html)")
          ->type_name("FILE")
          ->check([](const std::string& path) { return std::string(path.empty() ? "needs the name of a file" : ""); })
          ->allow_extra_args(false);
  command->add_flag("--json", arguments->json, "print what is compared as JSON, and write no page")->excludes(output);
  command->footer(
      "Runs whose jobs differ in run.seed alone become one line, their mean with its spread.\n"
      "Examples:\n"
      "  fedmpi report runs/imdb\n"
      "  fedmpi report runs/sweep-* -o sweep.html");
  command->callback([arguments] {
    try {
      report(*arguments);
    } catch (const UserError& error) {
      // It may quote what a damaged file holds.
      std::string sentence = shown(error.what());
      std::ranges::replace(sentence, '\n', ' ');
      throw UserError(sentence);
    }
  });
}

}  // namespace fedmpi
