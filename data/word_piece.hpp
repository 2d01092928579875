#pragma once

#include "normalizer.hpp"
#include "vocabulary.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fedmpi {

// BERT's tokenizer: for any bytes, the ids that Hugging Face's BertTokenizerFast gives for the same vocabulary and
// lower-casing flag once the bytes are decoded with errors="replace". Holds a cache of words: one object per thread,
// any number on one Vocabulary, which must outlive them.
class WordPiece {
 public:
  WordPiece(const Vocabulary& vocabulary, bool lower_case);

  // Appends [CLS], the text's ids and [SEP] to `ids`, at most `max_tokens` (>= 2) in all. Returns whether the text
  // was cut to fit.
  bool encode(std::string_view text, std::int64_t max_tokens, std::vector<std::int32_t>& ids);

 private:
  enum class ByteKind : std::uint8_t { letter, space, punctuation, other };
  static constexpr std::size_t key_size = 32;
  static constexpr std::size_t cached_ids = 7;
  static constexpr std::size_t num_cached_words = 1 << 15;  // indexed by the 15 top bits of a hash

  // A word of at most key_size bytes, padded with zeros, and its ids; one cache line.
  struct alignas(64) CachedWord {
    std::array<std::uint64_t, key_size / 8> key{};
    std::array<std::int32_t, cached_ids> ids{};
    std::uint32_t count = 0;
  };

  const char* encode_letters(const char* at, const char* end, std::vector<std::int32_t>& ids);
  const char* encode_mixed(const char* at, const char* end, std::vector<std::int32_t>& ids);
  const char* encode_punctuation(const char* at, const char* end, std::vector<std::int32_t>& ids);
  void add_word(std::string_view word, std::vector<std::int32_t>& ids);
  void add_uncached(std::string_view word, std::vector<std::int32_t>& ids);
  void flush_word(std::vector<std::int32_t>& ids);

  const Vocabulary& vocabulary_;
  Normalizer normalizer_;
  std::array<ByteKind, 256> byte_kinds_;
  std::array<char, 256> lower_;
  std::array<std::int32_t, 128> punctuation_ids_;
  std::vector<CachedWord> cache_;
  std::string word_;                  // the word being put together, UTF-8
  std::vector<std::int32_t> pieces_;  // of one word
};

}  // namespace fedmpi
