#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fedmpi {

// A WordPiece vocabulary as in BERT's vocab.txt: one token a line, its id the line's number from 0, "##" before
// pieces that continue a word. Immutable; may be read from any thread.
class Vocabulary {
 public:
  // Throws FileError for a file that is missing, too large, not UTF-8, has an empty or duplicate line, white space
  // within a line, or lacks [UNK], [CLS] or [SEP].
  explicit Vocabulary(const std::filesystem::path& path);

  std::int32_t size() const { return size_; }
  const std::string& digest() const { return digest_; }  // fedmpi::digest of the file's bytes
  std::int32_t unknown() const { return unknown_; }
  std::int32_t cls() const { return cls_; }
  std::int32_t sep() const { return sep_; }

  // The line of an id in [0, size()).
  std::string_view token(std::int32_t id) const;

  // Id of a whole line, -1 when there is none.
  std::int32_t find(std::string_view token) const;

  // The token of [PAD], [UNK], [CLS], [SEP], [MASK] that `text` starts with: its id and length. Such a token stands
  // for itself wherever it occurs in a text, as with the Hugging Face tokenizer.
  std::optional<std::pair<std::int32_t, std::size_t>> special_at(std::string_view text) const;

  // Writes the pieces of a word (valid UTF-8, not empty) to `ids`, which has room for one id a byte: greedily the
  // longest first, or [UNK] alone when they do not cover the word. Returns how many.
  std::size_t split(std::string_view word, std::int32_t* ids) const;

 private:
  // A trie over bytes; the edges of all nodes lie in one open-addressing hash table.
  struct Edge {
    std::uint32_t key;  // node << 8 | byte, 0 for an empty slot (no edge leads from a node by byte 0)
    std::uint32_t child;
  };
  static constexpr std::uint32_t no_node = 0;  // the root is node 1
  static constexpr std::uint32_t root = 1;

  std::size_t slot(std::uint32_t key) const;
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;
  std::uint32_t walk(std::string_view text) const;
  void insert(std::string_view token, std::int32_t id, const std::filesystem::path& path);
  void load(const std::string& text, const std::filesystem::path& path);
  std::int32_t require(std::string_view token, const std::filesystem::path& path) const;

  std::vector<Edge> edges_;
  std::size_t mask_ = 0;
  std::vector<std::int32_t> node_ids_;  // [node]: the token that ends there, or -1
  std::uint32_t continuation_ = no_node;
  std::vector<std::pair<std::string, std::int32_t>> specials_;
  std::string text_;                    // the tokens, one after another
  std::vector<std::size_t> starts_{0};  // [size + 1]: in text_
  std::string digest_;
  std::int32_t size_ = 0, unknown_ = -1, cls_ = -1, sep_ = -1;
};

}  // namespace fedmpi
