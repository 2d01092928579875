#include "prepare_command.hpp"

#include "prepare.hpp"

#include <memory>
#include <string>

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

}  // namespace

void add_prepare_command(CLI::App& program) {
  CLI::App& prepare = *program.add_subcommand("prepare", "Turn raw data into HDF5 shards");
  prepare.require_subcommand(1);
  CLI::App& imdb = *prepare.add_subcommand("imdb", "The Large Movie Review Dataset: tokenized reviews and labels");
  // The callback runs after this function has returned, and shares the settings with the options.
  auto owned = std::make_unique<PrepareSettings>();
  PrepareSettings& settings = *owned;
  auto* source = imdb.add_option_group("source");
  source->add_option("--archive,--directory", settings.source, "aclImdb_v1.tar.gz, or the directory extracted from it")
      ->required()
      ->type_name("PATH");
  imdb.add_option("--vocabulary", settings.vocabulary, "The model's vocab.txt")->required()->type_name("FILE");
  imdb.add_option("--output", settings.output, "Directory for the shards; made when missing")
      ->required()
      ->type_name("DIR");
  imdb.add_option("--max-tokens", settings.max_tokens, "Longer reviews are cut to so many tokens")->capture_default_str();
  imdb.add_flag("!--cased", settings.lower_case, "Keep capitals and accents: for a cased model");
  imdb.add_option("--seed", settings.seed, "Of the order of the reviews")->capture_default_str();
  imdb.add_option("--shards", settings.shards, "Files a split")->capture_default_str();
  imdb.add_option("--threads", settings.threads, "Tokenizing threads; 0 means one for each core")->capture_default_str();
  imdb.footer("Example:\n  fedmpi prepare imdb --archive aclImdb_v1.tar.gz --vocabulary minilm/vocab.txt --output data/imdb");
  imdb.callback([kept = std::shared_ptr<PrepareSettings>(std::move(owned))] { run(*kept); });
}

}  // namespace fedmpi
