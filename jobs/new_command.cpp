#include "new_command.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_name = 64;

// Targets that CMake makes itself, or whose names it keeps.
constexpr std::array cmake_names{"all",
                                 "clean",
                                 "depend",
                                 "edit_cache",
                                 "help",
                                 "install",
                                 "package",
                                 "package_source",
                                 "preinstall",
                                 "rebuild_cache",
                                 "list_install_components",
                                 "test"};

// What the templates call a plugin.
struct Names {
  std::string plain;       // my_strategy
  std::string class_name;  // MyStrategy
};

Names names_of(const std::string& plain) {
  Names names{.plain = plain, .class_name = ""};
  bool begins_word = true;
  for (const char c : plain) {
    if (c != '_') names.class_name += begins_word ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    begins_word = c == '_';
  }
  return names;
}

void check_name(const std::string& kind, const std::string& name) {
  const auto refuse = [&](const std::string& reason) {
    throw UserError(fmt::format("'{}' cannot be the name of a new {}: {}", name, kind, reason));
  };
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_allowed = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  if (name.empty() || !is_letter(name[0]) || !std::all_of(name.begin(), name.end(), is_allowed))
    refuse("take lower-case letters, digits and '_', beginning with a letter");
  if (name.size() > longest_name) refuse(fmt::format("take at most {} letters", longest_name));
  if (std::find(cmake_names.begin(), cmake_names.end(), name) != cmake_names.end())
    refuse("CMake has a target of that name; take another");
  for (const fs::path& directory : plugin_search_path({})) {
    for (const char* sub_directory : {"", "strategies", "models", "datasets"}) {
      std::error_code error;
      const fs::path file = directory / sub_directory / (name + ".so");
      if (fs::exists(file, error)) refuse(fmt::format("{} has it already; take another", file.string()));
    }
  }
}

fs::path template_directory(const std::string& kind) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  fs::path directory = program.parent_path().parent_path() / "share" / "fedmpi" / "templates" / kind;
  if (error || !fs::is_directory(directory, error))
    throw FileError(fmt::format("the templates are not in {}: install fedmpi again", directory.string()), directory);
  return directory;
}

std::string replaced(std::string text, std::string_view word, std::string_view by) {
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size()))
    text.replace(at, word.size(), by);
  return text;
}

struct NewFile {
  std::string name, text;
};

std::vector<NewFile> read_templates(const std::string& kind, const std::string& name) {
  const Names from = names_of("my_" + kind), to = names_of(name);
  const auto renamed = [&](std::string text) {
    return replaced(replaced(std::move(text), from.plain, to.plain), from.class_name, to.class_name);
  };
  std::vector<NewFile> files;
  for (const auto& entry : fs::directory_iterator(template_directory(kind))) {
    if (!entry.is_regular_file()) continue;  // where somebody built the template itself
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) throw FileError(fmt::format("the template {} cannot be read", entry.path().string()), entry.path());
    files.push_back({renamed(entry.path().filename().string()), renamed(text)});
  }
  std::sort(files.begin(), files.end(), [](const NewFile& a, const NewFile& b) { return a.name < b.name; });
  return files;
}

// All or nothing.
void write_files(const fs::path& directory, const std::vector<NewFile>& files) {
  std::error_code error;
  if (fs::symlink_status(directory, error).type() != fs::file_type::not_found)
    throw UserError(
        fmt::format("{} is there already: take another name, or begin in another directory", directory.string()));
  fs::create_directory(directory, error);
  if (error)
    throw FileError(fmt::format("the directory {} cannot be made here: {}", directory.string(), error.message()),
                    directory);
  for (const NewFile& file : files) {
    std::ofstream out(directory / file.name, std::ios::binary);
    out << file.text;
    out.close();
    if (out) continue;
    fs::remove_all(directory, error);
    throw FileError(fmt::format("{} cannot be written: is the disk full?", (directory / file.name).string()),
                    directory);
  }
}

void make(const std::string& kind, const std::string& name) {
  check_name(kind, name);
  const std::vector<NewFile> files = read_templates(kind, name);
  write_files(name, files);
  std::vector<std::string> names;
  for (const NewFile& file : files) names.push_back(file.name);
  fmt::print(
      "{0}/ holds {1}; build, check and run it:\n"
      "  cd {0}\n"
      "  cmake -B build && cmake --build build && ctest --test-dir build\n"
      "  mpirun -np 3 fedmpi run job.toml\n",
      name, fmt::join(names, ", "));
}

}  // namespace

void add_new_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("new", "begin a plugin: a folder that builds and works as it stands");
  command->require_subcommand(1);
  constexpr std::array kinds{std::pair{"strategy", "how clients' updates become the next model"},
                             std::pair{"model", "what is trained"}, std::pair{"dataset", "what it is trained on"}};
  for (const auto& [kind, help] : kinds) {
    CLI::App* verb = command->add_subcommand(kind, help);
    verb->add_option("name", "of the plugin and its folder: lower-case letters, digits and '_'")->required();
    verb->callback([verb, kind = std::string(kind)] { make(kind, (*verb)["name"]->as<std::string>()); });
  }
  command->footer(
      "Example:\n"
      "  fedmpi new strategy mine");
}

}  // namespace fedmpi
