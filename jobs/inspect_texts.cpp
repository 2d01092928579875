#include "inspect_texts.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/shard.hpp"
#include "numbers.hpp"
#include "vocabulary.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {
namespace {

constexpr std::size_t most_printed_bytes = 400;  // of a text
constexpr std::size_t most_printed_ids = 40;

std::span<const std::int32_t> tokens_of(const Shard& shard, std::int64_t example) {
  const auto* offsets = shard.offsets.const_data_ptr<std::int64_t>();
  return {shard.tokens.const_data_ptr<std::int32_t>() + offsets[example],
          static_cast<std::size_t>(offsets[example + 1] - offsets[example])};
}

Facts length_facts(const Shard& shard) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < shard.labels.numel(); ++i)
    lengths.push_back(static_cast<std::int64_t>(tokens_of(shard, i).size()));
  std::ranges::sort(lengths);
  const std::size_t count = lengths.size();
  const double total = static_cast<double>(shard.tokens.numel());
  return {{"min", lengths.front()},
          {"median", static_cast<double>(lengths[(count - 1) / 2] + lengths[count / 2]) / 2.0},
          {"mean", total / static_cast<double>(count)},
          {"max", lengths.back()}};
}

// How many texts are as long as they were allowed to be: cut, or just as long.
std::int64_t count_at(const Shard& shard, std::int64_t limit) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < shard.labels.numel(); ++i)
    count += static_cast<std::int64_t>(tokens_of(shard, i).size()) == limit ? 1 : 0;
  return count;
}

// Words with blanks between them; pieces that continue one are put to it. [CLS] and [SEP] are left out.
std::string decoded(std::span<const std::int32_t> ids, const Vocabulary& vocabulary) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id == vocabulary.cls() || id == vocabulary.sep()) continue;
    const std::string_view token = vocabulary.token(id);
    const bool continues = token.starts_with("##") && !text.empty();
    if (!continues && !text.empty()) text += ' ';
    text += continues ? token.substr(2) : token;
  }
  return text;
}

std::unique_ptr<Vocabulary> vocabulary_of(const InspectRequest& request, const Shard& shard) {
  if (request.vocabulary.empty()) return nullptr;
  auto vocabulary = std::make_unique<Vocabulary>(request.vocabulary);
  if (vocabulary->digest() != shard.vocabulary_digest)
    throw FileError(
        fmt::format("{} was not tokenized with {}: its vocabulary's digest is {:.12}, that file's {:.12}",
                    request.file.string(), request.vocabulary.string(), shard.vocabulary_digest, vocabulary->digest()),
        request.vocabulary);
  if (vocabulary->size() < shard.vocabulary_size)
    throw FileError(fmt::format("{} says that its vocabulary has {} words, but {} has {}", request.file.string(),
                                shard.vocabulary_size, request.vocabulary.string(), vocabulary->size()),
                    request.file);
  return vocabulary;
}

// As much of a UTF-8 text as is printed.
std::string beginning(const std::string& text) {
  if (text.size() <= most_printed_bytes) return text;
  std::size_t end = most_printed_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + " ...";
}

std::string beginning(const std::vector<std::int32_t>& ids) {
  const std::span first(ids.begin(), std::min(ids.size(), most_printed_ids));
  return fmt::format("{}{}", fmt::join(first, " "), first.size() < ids.size() ? " ..." : "");
}

std::string limit_of(const Shard& shard) {
  const auto limit = shard.provenance.find("max_tokens");
  return limit == shard.provenance.end() ? "" : limit->second;
}

}  // namespace

Facts text_facts(const InspectRequest& request) {
  const Shard shard = read_shard(request.file);
  const std::unique_ptr<Vocabulary> vocabulary = vocabulary_of(request, shard);
  const std::int64_t count = shard.labels.numel();
  Facts facts = facts_of_file(request.file, "texts");
  facts["examples"] = count;
  facts["tokens"] = shard.tokens.numel();
  if (count > 0) facts["lengths"] = length_facts(shard);
  if (const Facts limit = Facts::parse(limit_of(shard), nullptr, false); limit.is_number_unsigned() && count > 0) {
    facts["lengths"]["limit"] = limit;
    facts["lengths"]["at_limit"] = count_at(shard, limit.get<std::int64_t>());
  }
  facts["vocabulary"] = {{"size", shard.vocabulary_size}, {"digest", shard.vocabulary_digest}};
  facts["num_labels"] = shard.num_labels;
  const auto names = shard.provenance.find("label_names");
  facts["labels"] = label_facts(shard.labels, names == shard.provenance.end() ? "" : names->second);
  if (shard.keys.defined()) {
    const auto* keys = shard.keys.const_data_ptr<std::int64_t>();
    facts["keys"] = std::set<std::int64_t>(keys, keys + count).size();
  }
  facts["provenance"] = shard.provenance;
  facts["texts"] = Facts::array();
  for (std::int64_t i = 0; i < std::min(count, request.num_texts); ++i) {
    const auto ids = tokens_of(shard, i);
    Facts text{{"label", shard.labels.const_data_ptr<std::int64_t>()[i]}, {"ids", std::vector(ids.begin(), ids.end())}};
    if (vocabulary) text["text"] = decoded(ids, *vocabulary);
    facts["texts"].push_back(std::move(text));
  }
  return facts;
}

void print_texts(const Facts& facts) {
  const auto count = facts["examples"].get<std::int64_t>();
  print_row("examples", grouped(count));
  print_row("tokens", grouped(facts["tokens"].get<std::int64_t>()));
  if (facts.contains("lengths")) {
    const Facts& lengths = facts["lengths"];
    print_row("tokens of a text", fmt::format("{} to {}, median {:g}, mean {:.1f}", lengths["min"].get<std::int64_t>(),
                                              lengths["max"].get<std::int64_t>(), lengths["median"].get<double>(),
                                              lengths["mean"].get<double>()));
    if (lengths.contains("limit")) {
      const auto at_limit = lengths["at_limit"].get<std::int64_t>();
      print_row("cut", fmt::format("{} ({:.1f} %) have {} tokens, to which longer ones were cut", grouped(at_limit),
                                   100.0 * static_cast<double>(at_limit) / static_cast<double>(count),
                                   lengths["limit"].get<std::int64_t>()));
    }
  }
  print_row("vocabulary",
            fmt::format("{} tokens, digest {:.12}", grouped(facts["vocabulary"]["size"].get<std::int64_t>()),
                        facts["vocabulary"]["digest"].get<std::string>()));
  if (facts.contains("keys"))
    print_row("keys", fmt::format("{} different", grouped(facts["keys"].get<std::int64_t>())));
  print_row("labels", fmt::format("{}", facts["num_labels"].get<std::int64_t>()));
  print_labels(facts["labels"], count);
  for (const auto& [name, value] : facts["provenance"].items()) print_row(name, beginning(value.get<std::string>()));
  std::size_t number = 0;
  for (const Facts& text : facts["texts"]) {
    const auto ids = text["ids"].get<std::vector<std::int32_t>>();
    fmt::print("\ntext {}, label {}, {} tokens\n  {}\n", number++, text["label"].get<std::int64_t>(), ids.size(),
               text.contains("text") ? printable(beginning(text["text"].get<std::string>())) : beginning(ids));
  }
  if (number > 0 && !facts["texts"][0].contains("text"))
    fmt::print("\nfor words instead of numbers add --vocabulary and the vocab.txt that it was prepared with\n");
}

}  // namespace fedmpi
