#include "word_piece.hpp"

#include "unicode.hpp"

#include <algorithm>
#include <cstring>

namespace fedmpi {
namespace {

constexpr std::size_t longest_ascii_word = 128;  // longer than any word that is not unknown for its length

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, bool lower_case)
    : vocabulary_{vocabulary}, normalizer_{lower_case}, cache_(num_cached_words) {
  byte_kinds_.fill(ByteKind::other);
  punctuation_ids_.fill(-1);
  for (unsigned c = 0; c < 256; ++c) lower_[c] = static_cast<char>(c);
  for (unsigned c = 0; c < 128; ++c) {
    if (kind_of(c) == CharKind::space) {
      byte_kinds_[c] = ByteKind::space;
    } else if (is_punctuation(c)) {
      const char word = static_cast<char>(c);
      const std::int32_t id = vocabulary.find({&word, 1});
      byte_kinds_[c] = ByteKind::punctuation;
      punctuation_ids_[c] = id >= 0 ? id : vocabulary.unknown();
    } else if (kind_of(c) == CharKind::plain) {
      byte_kinds_[c] = ByteKind::letter;
      if (lower_case) lower_[c] = static_cast<char>(to_lower(c));
    }
  }
}

bool WordPiece::encode(std::string_view text, std::int64_t max_tokens, std::vector<std::int32_t>& ids) {
  const std::size_t limit = ids.size() + static_cast<std::size_t>(max_tokens) - 1;  // [SEP] takes the last place
  const char* at = text.data();
  const char* const end = at + text.size();
  ids.push_back(vocabulary_.cls());
  while (at != end && ids.size() <= limit) {
    switch (byte_kinds_[static_cast<unsigned char>(*at)]) {
      case ByteKind::space:
        ++at;
        break;
      case ByteKind::punctuation:
        at = encode_punctuation(at, end, ids);
        break;
      case ByteKind::letter:
        at = encode_letters(at, end, ids);
        break;
      case ByteKind::other:
        at = encode_mixed(at, end, ids);
        break;
    }
  }
  const bool cut = ids.size() > limit;
  if (cut) ids.resize(limit);
  ids.push_back(vocabulary_.sep());
  return cut;
}

const char* WordPiece::encode_punctuation(const char* at, const char* end, std::vector<std::int32_t>& ids) {
  if (*at == '[') {
    if (const auto special = vocabulary_.special_at({at, static_cast<std::size_t>(end - at)})) {
      ids.push_back(special->first);
      return at + special->second;
    }
  }
  ids.push_back(punctuation_ids_[static_cast<unsigned char>(*at)]);
  return at + 1;
}

// The common case: a run of ASCII letters and digits between white space or punctuation.
const char* WordPiece::encode_letters(const char* at, const char* end, std::vector<std::int32_t>& ids) {
  std::array<char, longest_ascii_word> word;
  const char* next = at;
  ByteKind kind = ByteKind::letter;
  for (std::size_t size = 0; next != end; ++next) {
    kind = byte_kinds_[static_cast<unsigned char>(*next)];
    if (kind != ByteKind::letter) break;
    if (size < word.size()) word[size++] = lower_[static_cast<unsigned char>(*next)];
  }
  if (kind == ByteKind::other) return encode_mixed(at, end, ids);
  add_word({word.data(), std::min(word.size(), static_cast<std::size_t>(next - at))}, ids);
  return next;
}

// Everything up to the next ASCII white space or punctuation, in full generality.
const char* WordPiece::encode_mixed(const char* at, const char* end, std::vector<std::int32_t>& ids) {
  const char* next = at;
  while (next != end) {
    const ByteKind kind = byte_kinds_[static_cast<unsigned char>(*next)];
    if (kind == ByteKind::space || kind == ByteKind::punctuation) break;
    ++next;
  }
  for (const char32_t c : normalizer_.run({at, static_cast<std::size_t>(next - at)})) {
    if (c == U' ') {
      flush_word(ids);
    } else if (is_punctuation(c)) {
      flush_word(ids);
      append_utf8(c, word_);
      flush_word(ids);
    } else {
      append_utf8(c, word_);
    }
  }
  flush_word(ids);
  return next;
}

void WordPiece::flush_word(std::vector<std::int32_t>& ids) {
  if (!word_.empty()) add_word(word_, ids);
  word_.clear();
}

void WordPiece::add_word(std::string_view word, std::vector<std::int32_t>& ids) {
  if (word.size() > key_size) {
    add_uncached(word, ids);
    return;
  }
  std::array<std::uint64_t, key_size / 8> key{};
  std::memcpy(key.data(), word.data(), word.size());
  std::uint64_t hash = 0;
  for (const std::uint64_t part : key) hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
  CachedWord& cached = cache_[hash >> 49];
  if (cached.key != key) {
    const std::size_t before = ids.size();
    add_uncached(word, ids);
    const std::size_t count = ids.size() - before;
    if (count > cached_ids) return;
    cached.key = key;
    cached.count = static_cast<std::uint32_t>(count);
    std::memcpy(cached.ids.data(), ids.data() + before, count * sizeof(std::int32_t));
    return;
  }
  ids.insert(ids.end(), cached.ids.begin(), cached.ids.begin() + cached.count);
}

void WordPiece::add_uncached(std::string_view word, std::vector<std::int32_t>& ids) {
  if (pieces_.size() < word.size()) pieces_.resize(word.size());
  const std::size_t count = vocabulary_.split(word, pieces_.data());
  ids.insert(ids.end(), pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace fedmpi
