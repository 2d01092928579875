#include "check_command.hpp"
#include "export_command.hpp"
#include "fedmpi/communicator.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/options.hpp"
#include "inspect_command.hpp"
#include "launch.hpp"
#include "manual_command.hpp"
#include "new_command.hpp"
#include "plugins_command.hpp"
#include "prepare_command.hpp"
#include "report_command.hpp"
#include "run_command.hpp"
#include "verify_command.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace {

using namespace fedmpi;

// The exit status of work that was done, if its output arrived.
int flush_output() {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::cout) return 0;
  complain("standard output could not be written");
  return 1;
}

struct VerbError final : CLI::ParseError {
  VerbError(const std::string& path, const std::string& what)
      : ParseError("VerbError", what, CLI::ExitCodes::ExtrasError), verb{path} {}
  std::string verb;  // "fedmpi new"
};

// CLI11's own sentence for an unknown verb does not name it.
void check_verbs(const CLI::App& program, std::span<char*> words, const std::string& path) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : program.get_subcommands({})) verbs.push_back(verb->get_name());
  if (verbs.empty()) return;
  const std::string subject = program.get_parent() == nullptr ? "" : fmt::format("'{}' ", program.get_name());
  const std::string all = fmt::format("one of {}", fmt::join(verbs, ", "));
  if (words.empty()) throw VerbError(path, fmt::format("{}needs {}", subject, all));
  const std::string word = words.front();
  if (word.starts_with('-')) return;
  if (std::find(verbs.begin(), verbs.end(), word) != verbs.end())
    return check_verbs(*program.get_subcommand(word), words.subspan(1), fmt::format("{} {}", path, word));
  const std::string near = nearest(word, verbs);
  throw VerbError(path, fmt::format("{}takes {}, not '{}'{}", subject, all, word,
                                    near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

// "fedmpi run", as far as the command line was understood.
std::string verb_of(const CLI::App& program) {
  std::string words = "fedmpi";
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    words += " " + app->get_name();
  }
  return words;
}

int refuse(const CLI::ParseError& error, const std::string& verb) {
  if (launcher_rank() == 0) complain(fmt::format("{}: see {} --help", error.what(), verb));
  // Whoever ends first has the launcher end the others, and rank 0 still has to say why.
  if (launcher_rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(10));
  return 2;
}

}  // namespace

// Exit status: 0 the work was done; 2 a user's mistake, nothing was written; 3 stopped by a signal or for lack of time,
// to be resumed; 1 anything else.
int main(int argc, char** argv) {
  // A thread's uncaught exception, or one from a noexcept function, must not leave other ranks waiting.
  std::set_terminate([] { MpiSession::abort(1); });
  // A file that may not grow further is then an error with a message, as a full disk is.
  std::signal(SIGXFSZ, SIG_IGN);
  int status = 0;
  CLI::App program("Federated learning as an MPI job", "fedmpi");
  program.set_version_flag("--version", "fedmpi " FEDMPI_VERSION);
  try {
    add_run_command(program, argc, argv, status);
    add_check_command(program, argc, argv, status);
    add_verify_command(program, argc, argv, status);
    add_prepare_command(program);
    add_inspect_command(program);
    add_export_command(program);
    add_plugins_command(program);
    add_new_command(program);
    add_manual_command(program);
    add_report_command(program);
    check_verbs(program, std::span(argv, static_cast<std::size_t>(argc)).subspan(1), "fedmpi");
    program.require_subcommand(1);
    program.parse(argc, argv);
    return std::max(flush_output(), status);
  } catch (const CLI::Success& help) {
    if (launcher_rank() == 0) program.exit(help);
    return flush_output();
  } catch (const VerbError& error) {
    return refuse(error, error.verb);
  } catch (const CLI::ParseError& error) {
    return refuse(error, verb_of(program));
  } catch (const UserError& error) {
    complain(error.what());
    MpiSession::abort(2);
  } catch (const std::exception& error) {
    complain(fmt::format("rank {}: {}", launcher_rank(), one_line(error)));
    MpiSession::abort(1);
  }
}
