#include "man_page.hpp"

#include "fedmpi/job.hpp"
#include "option_tables.hpp"

#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

namespace {

// As text that roff prints as it stands.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
  }
  return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::string paragraph(const std::string& tag, const std::string& text) {
  return fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(tag), roff(text));
}

std::string options_of(const CLI::App& verb) {
  std::string text;
  for (const CLI::Option* option : verb.get_options()) {
    std::string value = option->get_option_text();
    if (value.empty() && option->get_items_expected_max() > 0 && !option->get_positional())
      value = option->get_type_name();
    text += paragraph(option->get_name(true, true) + (value.empty() ? "" : " ") + value, option->get_description());
  }
  return text;
}

std::string verbs(const CLI::App& parent, const std::string& before) {
  std::string text;
  for (const CLI::App* verb : parent.get_subcommands({})) {
    const std::string name = before + " " + verb->get_name();
    text += fmt::format(".SS {}\n{}\n{}", roff(name), roff(verb->get_description()), options_of(*verb));
    if (!verb->get_footer().empty()) {
      text += ".PP\n.nf\n";
      std::istringstream lines(verb->get_footer());
      for (std::string line; std::getline(lines, line);) text += roff(line) + "\n";
      text += ".fi\n";
    }
    text += verbs(*verb, name);
  }
  return text;
}

std::string table(std::span<const OptionSpec> keys) {
  std::string text;
  for (const OptionSpec& spec : keys)
    text += paragraph(fmt::format("{} ({}, {})", spec.name, short_type(spec.type), default_text(spec)),
                      help_with_range(spec));
  return text;
}

std::string job_file() {
  std::string text;
  for (const JobSection& section : job_sections())
    text += fmt::format(".SS [{}]\n", section.name) + table(section.keys);
  for (const JobRules& rules : job_rules())
    for (const JobRule& rule : rules.rules)
      text += fmt::format(".SS {}.{} = \"{}\"\n{}\n", rules.section, rules.key, roff(rule.name), roff(rule.help)) +
              table(rule.keys);
  return text;
}

constexpr const char* exit_status =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nThe work was done.\n"
    ".TP\n.B 1\nSomething failed; the message says what.\n"
    ".TP\n.B 2\nA mistake in the command, the job or a file: one sentence, nothing was written.\n"
    ".TP\n.B 3\nA run was stopped by a signal or for lack of time and can be resumed.\n";

constexpr const char* environment =
    ".SH ENVIRONMENT\n"
    ".TP\n.B FEDMPI_PLUGIN_PATH\nDirectories, separated by colons, that are searched for plugins before the "
    "program\\(aqs "
    "own.\n"
    ".TP\n.B TMPDIR\nWhere the updates of a round are kept that a robust strategy compares.\n";

}  // namespace

std::string man_page(const CLI::App& program) {
  return fmt::format(
             ".TH FEDMPI 1 \"\" \"{0}\" \"User commands\"\n"
             ".SH NAME\nfedmpi \\- federated learning as an MPI job\n"
             ".SH SYNOPSIS\n.B mpirun \\-np\n.I N\n.B fedmpi run\n.I JOB\n[\\fIoptions\\fR]\n.br\n.B fedmpi\n.I verb\n"
             "[\\fIoptions\\fR]\n"
             ".SH DESCRIPTION\nRank 0 is the federated server, the other ranks host the clients; alone, the one rank "
             "does "
             "both. A job is a TOML file that says what federates, what is trained and on what. Strategy, model and "
             "dataset are plugins.\n"
             ".SH OPTIONS\n{1}.SH VERBS\n",
             roff(program.version()), options_of(program)) +
         verbs(program, "fedmpi") +
         ".SH JOB FILE\nEach key with its type and its default; \\fBfedmpi plugins\\fR lists what the plugins take in "
         "[strategy], [model] and [data] besides.\n" +
         job_file() + exit_status + environment;
}

}  // namespace fedmpi
