#include "prepare_command.hpp"

#include "fedmpi/error.hpp"
#include "prepare.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {
namespace {

void print_split(const char* name, const SplitSummary& split) {
  const double mean = static_cast<double>(split.num_tokens) / static_cast<double>(split.num_examples);
  fmt::print("{:<6}{:>8} examples, {} tokens (mean {:.1f}, longest {}), {} cut\n", name, split.num_examples,
             split.num_tokens, mean, split.longest_tokens, split.num_truncated);
}

void print_summary(const PrepareSummary& summary, const PrepareSettings& settings) {
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

// What every dataset has.
void add_settings(CLI::App& command) {
  const PrepareSettings defaults;
  command.add_option("--vocabulary", "The model's vocab.txt")->required()->type_name("FILE");
  command.add_option("--output", "Directory for the shards; made when missing")->required()->type_name("DIR");
  command.add_option("--max-tokens", "Longer texts are cut to so many tokens")->default_val(defaults.max_tokens);
  command.add_flag("--cased")->description("Keep capitals and accents: for a cased model");
  command.add_option("--seed", "Of the order of the examples")->default_val(defaults.seed);
  command.add_option("--shards", "Files a split")->default_val(defaults.shards);
  command.add_option("--threads", "Tokenizing threads; 0 means one for each core")->default_val(defaults.threads);
}

PrepareSettings read_settings(const CLI::App& command) {
  PrepareSettings settings;
  settings.vocabulary = command["--vocabulary"]->as<std::string>();
  settings.output = command["--output"]->as<std::string>();
  settings.max_tokens = read_integer<std::int64_t>(command, "--max-tokens");
  settings.lower_case = command.count("--cased") == 0;
  settings.seed = read_integer<std::uint64_t>(command, "--seed");
  settings.shards = read_integer<int>(command, "--shards");
  settings.threads = read_integer<int>(command, "--threads");
  return settings;
}

void add_imdb(CLI::App& prepare) {
  CLI::App* imdb = prepare.add_subcommand("imdb", "The Large Movie Review Dataset: tokenized reviews and labels");
  imdb->add_option("--archive,--directory", "aclImdb_v1.tar.gz, or the directory extracted from it")
      ->required()
      ->type_name("PATH");
  add_settings(*imdb);
  imdb->footer(
      "Example:\n"
      "  fedmpi prepare imdb --archive aclImdb_v1.tar.gz --vocabulary data/minilm/vocab.txt --output data/imdb");
  imdb->callback([imdb] {
    const PrepareSettings settings = read_settings(*imdb);
    print_summary(prepare_imdb((*imdb)["--archive"]->as<std::string>(), settings), settings);
  });
}

void add_table(CLI::App& prepare, const std::string& name, TableFormat format, const char* description) {
  CLI::App* command = prepare.add_subcommand(name, description);
  auto table = std::make_shared<TableSettings>();
  table->dialect.format = format;
  const bool is_json = format == TableFormat::jsonl;
  const char* column = is_json ? "KEY" : "COLUMN";
  command->add_option("files", table->files, "Labelled texts, in one file or several")->required()->type_name("FILE");
  command->add_option("--text", table->text, "What holds the text")->required()->type_name(column);
  command->add_option("--label", table->label, "What holds the label")->required()->type_name(column);
  command->add_option("--key", table->key, "What holds whose text it is (a user), for partitions by that")
      ->type_name(column);
  CLI::Option* test = command->add_option("--test", table->test_files, "File of the test split (repeatable)")
                          ->type_name("FILE")
                          ->allow_extra_args(false);
  command->add_option("--test-fraction", table->test_fraction, "Share of the examples that are the test split")
      ->capture_default_str()
      ->excludes(test);
  if (!is_json) {
    command->add_flag_callback(
        "--no-header", [table] { table->dialect.header = false; },
        "The first row is an example; columns are numbers from 1");
    command->add_flag_callback(
        "--no-quotes", [table] { table->dialect.quotes = false; }, "A quote is a character like any other");
  }
  add_settings(*command);
  command->footer(
      fmt::format("Example:\n"
                  "  fedmpi prepare {0} mails.{0} --text body --label folder --vocabulary data/minilm/vocab.txt "
                  "--output data/mails",
                  name));
  command->callback([command, table] {
    const PrepareSettings settings = read_settings(*command);
    print_summary(prepare_table(*table, settings), settings);
  });
}

}  // namespace

void add_prepare_command(CLI::App& program) {
  CLI::App* prepare = program.add_subcommand("prepare", "Turn raw data into HDF5 shards");
  prepare->require_subcommand(1);
  add_imdb(*prepare);
  add_table(*prepare, "csv", TableFormat::csv, "Labelled texts in a table with commas");
  add_table(*prepare, "tsv", TableFormat::tsv, "Labelled texts in a table with tabs");
  add_table(*prepare, "jsonl", TableFormat::jsonl, "Labelled texts, a JSON object on each line");
}

}  // namespace fedmpi
