#include "vocabulary.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "unicode.hpp"

#include <algorithm>
#include <bit>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::uintmax_t max_file_bytes = 8 << 20;  // node numbers must fit 24 bits: at most one node a byte
constexpr int char_limit = 100;                     // longer words are unknown, as in BERT

std::string read_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw FileError(fmt::format("{}: no such vocabulary file; give the model's vocab.txt", path.string()), path);
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error || size > max_file_bytes) {
    throw FileError(fmt::format("{}: too large for a vocabulary (at most {} MB)", path.string(), max_file_bytes >> 20),
                    path);
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    throw FileError(fmt::format("{}: the vocabulary cannot be read", path.string()), path);
  }
  return text;
}

void check_token(std::string_view token, std::int32_t line, const std::filesystem::path& path) {
  const auto fail = [&](const char* what) {
    throw FileError(fmt::format("{}:{}: {}; a vocabulary has one token a line", path.string(), line + 1, what), path);
  };
  if (token.empty()) fail("empty line");
  const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; };
  if (std::any_of(token.begin(), token.end(), is_blank)) fail("white space or control characters in a token");
  for (std::size_t at = 0; at < token.size();) {
    const std::size_t before = at;
    if (next_code_point(token, at) == 0xFFFD && token.substr(before, at - before) != "\xEF\xBF\xBD") fail("not UTF-8");
  }
}

}  // namespace

Vocabulary::Vocabulary(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  digest_ = fedmpi::digest(std::string_view(text));
  load(text, path);
  unknown_ = require("[UNK]", path);
  cls_ = require("[CLS]", path);
  sep_ = require("[SEP]", path);
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    if (const std::int32_t id = find(token); id >= 0) specials_.emplace_back(token, id);
  }
  continuation_ = walk("##");
}

void Vocabulary::load(const std::string& text, const std::filesystem::path& path) {
  edges_.resize(std::bit_ceil(2 * text.size() + 2));
  mask_ = edges_.size() - 1;
  node_ids_.assign(2, -1);
  for (std::size_t start = 0; start < text.size(); ++size_) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view token(text.data() + start, end - start);
    if (token.ends_with('\r')) token.remove_suffix(1);
    check_token(token, size_, path);
    insert(token, size_, path);
    text_ += token;
    starts_.push_back(text_.size());
    start = end + 1;
  }
}

void Vocabulary::insert(std::string_view token, std::int32_t id, const std::filesystem::path& path) {
  std::uint32_t node = root;
  for (const char c : token) {
    const std::uint32_t key = node << 8 | static_cast<unsigned char>(c);
    Edge& edge = edges_[slot(key)];
    if (edge.key == 0) {
      edge = {key, static_cast<std::uint32_t>(node_ids_.size())};
      node_ids_.push_back(-1);
    }
    node = edge.child;
  }
  if (node_ids_[node] >= 0) {
    throw FileError(fmt::format("{}:{}: the token \"{}\" stands on line {} already", path.string(), id + 1, token,
                                node_ids_[node] + 1),
                    path);
  }
  node_ids_[node] = id;
}

std::int32_t Vocabulary::require(std::string_view token, const std::filesystem::path& path) const {
  const std::int32_t id = find(token);
  if (id < 0) {
    throw FileError(fmt::format("{}: no line reads {}; give the vocab.txt of a BERT model", path.string(), token),
                    path);
  }
  return id;
}

std::size_t Vocabulary::slot(std::uint32_t key) const {
  std::size_t at = (key * 0x9E3779B97F4A7C15u >> 32) & mask_;
  while (edges_[at].key != 0 && edges_[at].key != key) at = (at + 1) & mask_;
  return at;
}

std::uint32_t Vocabulary::child(std::uint32_t node, unsigned char byte) const {
  const Edge& edge = edges_[slot(node << 8 | byte)];
  return edge.key == 0 ? no_node : edge.child;
}

std::uint32_t Vocabulary::walk(std::string_view text) const {
  std::uint32_t node = root;
  for (std::size_t i = 0; i < text.size() && node != no_node; ++i)
    node = child(node, static_cast<unsigned char>(text[i]));
  return node;
}

std::string_view Vocabulary::token(std::int32_t id) const {
  const auto at = static_cast<std::size_t>(id);
  return std::string_view(text_).substr(starts_[at], starts_[at + 1] - starts_[at]);
}

std::int32_t Vocabulary::find(std::string_view token) const {
  return node_ids_[walk(token)];
}

std::optional<std::pair<std::int32_t, std::size_t>> Vocabulary::special_at(std::string_view text) const {
  for (const auto& [token, id] : specials_) {
    if (text.starts_with(token)) return std::pair{id, token.size()};
  }
  return std::nullopt;
}

std::size_t Vocabulary::split(std::string_view word, std::int32_t* ids) const {
  const auto starts_char = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  std::size_t count = 0;
  ids[0] = unknown_;
  if (std::count_if(word.begin(), word.end(), starts_char) > char_limit) return 1;
  std::uint32_t start = root;
  for (std::size_t at = 0; at < word.size(); start = continuation_) {
    std::size_t end = at;
    std::uint32_t node = start;
    for (std::size_t i = at; i < word.size() && node != no_node;) {
      node = child(node, static_cast<unsigned char>(word[i++]));
      if (node_ids_[node] < 0) continue;
      end = i;
      ids[count] = node_ids_[node];
    }
    if (end == at) {
      ids[0] = unknown_;
      return 1;
    }
    at = end;
    ++count;
  }
  return count;
}

}  // namespace fedmpi
