#include "inspect_command.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/file_kind.hpp"
#include "inspect_arrays.hpp"
#include "inspect_checkpoint.hpp"
#include "inspect_texts.hpp"
#include "numbers.hpp"

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::int64_t most_texts = 1'000'000;

struct Kind {
  const char* title;
  Facts (*facts)(const InspectRequest&);
  void (*print)(const Facts&);
};

Kind kind_of(FileKind kind) {
  switch (kind) {
    case FileKind::text_shard:
      return {"tokenized texts", text_facts, print_texts};
    case FileKind::array_shard:
      return {"arrays", array_facts, print_arrays};
    case FileKind::checkpoint:
      return {"a checkpoint", checkpoint_facts, print_checkpoint};
    case FileKind::partial_round:
      return {"a rank's part of a round", partial_round_facts, print_partial_round};
    case FileKind::client_state:
      return {"what a client keeps between its rounds", client_state_facts, print_client_state};
  }
  throw Error("a kind of file without a name");
}

void inspect(const InspectRequest& request) {
  const FileKind file = file_kind(request.file);
  if (!request.vocabulary.empty() && file != FileKind::text_shard)
    throw UserError(fmt::format("{} holds no texts: leave out --vocabulary", request.file.string()));
  const Kind kind = kind_of(file);
  try {
    const Facts facts = kind.facts(request);
    if (request.json) {
      fmt::print("{}\n", facts.dump(2, ' ', false, Facts::error_handler_t::replace));
      return;
    }
    fmt::print("{}: {}, {}\n\n", request.file.string(), kind.title, bytes_text(facts["bytes"].get<std::int64_t>()));
    kind.print(facts);
  } catch (const Facts::exception& error) {
    throw FileError(fmt::format("{} does not say what it should: {}", request.file.string(), error.what()),
                    request.file);
  }
}

}  // namespace

void add_inspect_command(CLI::App& program) {
  auto request = std::make_shared<InspectRequest>();
  CLI::App* command = program.add_subcommand("inspect", "look into a shard or a checkpoint");
  command->add_option("file", request->file, "train.h5, checkpoints/round_0003.h5 and the like")->required();
  command->add_option("--vocabulary", request->vocabulary, "of a shard of texts: the vocab.txt it was prepared with")
      ->type_name("FILE");
  command->add_option("--texts", request->num_texts, "of a shard of texts: show so many of the first")
      ->check(CLI::Range(std::int64_t{0}, most_texts))
      ->capture_default_str();
  command->add_flag("--json", request->json, "as JSON");
  command->footer(
      "Examples:\n"
      "  fedmpi inspect data/imdb/train.h5 --vocabulary data/minilm/vocab.txt\n"
      "  fedmpi inspect runs/imdb/checkpoints/round_0003.h5");
  command->callback([request] { inspect(*request); });
}

}  // namespace fedmpi
