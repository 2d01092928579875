#include "prepare_command.hpp"

#include "fedmpi/error.hpp"
#include "prepare.hpp"

#include <cstdint>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {
namespace {

void print_split(const char* name, const SplitSummary& split) {
  const double mean = static_cast<double>(split.num_tokens) / static_cast<double>(split.num_examples);
  fmt::print("{:<6}{:>8} reviews, {} tokens (mean {:.1f}, longest {}), {} cut\n", name, split.num_examples,
             split.num_tokens, mean, split.longest_tokens, split.num_truncated);
}

void run(const PrepareSettings& settings) {
  const PrepareSummary summary = prepare_imdb(settings);
  print_split("train", summary.train);
  print_split("test", summary.test);
  const auto& files = summary.files;
  if (files.size() == 2) {
    fmt::print("{} and {}, written in {:.1f} s\n", files[0].string(), files[1].string(), summary.seconds);
  } else {
    fmt::print("{} shards in {}, written in {:.1f} s\n", files.size(), settings.output.string(), summary.seconds);
  }
}

template <typename Integer>
Integer read_integer(const CLI::App& command, const std::string& option) {
  try {
    const auto value = command[option]->as<std::int64_t>();
    if (!std::in_range<Integer>(value)) throw UserError(fmt::format("{} is out of range: {}", option, value));
    return static_cast<Integer>(value);
  } catch (const CLI::Error&) {
    throw UserError(fmt::format("{} needs a whole number, not \"{}\"", option, command[option]->as<std::string>()));
  }
}

PrepareSettings read_settings(const CLI::App& command) {
  PrepareSettings settings;
  settings.source = command["--archive"]->as<std::string>();
  settings.vocabulary = command["--vocabulary"]->as<std::string>();
  settings.output = command["--output"]->as<std::string>();
  settings.max_tokens = read_integer<std::int64_t>(command, "--max-tokens");
  settings.lower_case = command.count("--cased") == 0;
  settings.seed = read_integer<std::uint64_t>(command, "--seed");
  settings.shards = read_integer<int>(command, "--shards");
  settings.threads = read_integer<int>(command, "--threads");
  return settings;
}

}  // namespace

void add_prepare_command(CLI::App& program) {
  CLI::App* prepare = program.add_subcommand("prepare", "Turn raw data into HDF5 shards");
  prepare->require_subcommand(1);
  CLI::App* imdb = prepare->add_subcommand("imdb", "The Large Movie Review Dataset: tokenized reviews and labels");
  const PrepareSettings defaults;
  imdb->add_option("--archive,--directory", "aclImdb_v1.tar.gz, or the directory extracted from it")
      ->required()
      ->type_name("PATH");
  imdb->add_option("--vocabulary", "The model's vocab.txt")->required()->type_name("FILE");
  imdb->add_option("--output", "Directory for the shards; made when missing")->required()->type_name("DIR");
  imdb->add_option("--max-tokens", "Longer reviews are cut to so many tokens")->default_val(defaults.max_tokens);
  imdb->add_flag("--cased")->description("Keep capitals and accents: for a cased model");
  imdb->add_option("--seed", "Of the order of the reviews")->default_val(defaults.seed);
  imdb->add_option("--shards", "Files a split")->default_val(defaults.shards);
  imdb->add_option("--threads", "Tokenizing threads; 0 means one for each core")->default_val(defaults.threads);
  imdb->footer(
      "Example:\n"
      "  fedmpi prepare imdb --archive aclImdb_v1.tar.gz --vocabulary minilm/vocab.txt --output data/imdb");
  imdb->callback([imdb] { run(read_settings(*imdb)); });
}

}  // namespace fedmpi
