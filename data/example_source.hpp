#pragma once

#include "fedmpi/dataset.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// Which example of its source: what examples are sorted by, so that their order does not depend on when they came.
struct ExampleName {
  Split split = Split::train;
  int label = 0;
  std::int64_t id = 0;
  auto operator<=>(const ExampleName&) const = default;
};

// A labelled text on its way into a shard.
struct Example {
  ExampleName name;
  std::int64_t key = 0;  // whose it is, where the source has keys
  std::string text;      // bytes as they are in the file
};

struct TokenizedExample {
  ExampleName name;
  std::int64_t key = 0;
  std::string text_digest;
  std::span<const std::int32_t> tokens;  // owned by the pool
  bool cut = false;
};

// What is prepared: labelled texts, one after another, in whatever order they come. The source is untrusted: next()
// and settle() throw FileError for one that is broken. One thread.
class ExampleSource {
 public:
  virtual ~ExampleSource() = default;
  virtual bool next(Example& example) = 0;  // false at the end
  virtual std::int64_t total_bytes() const = 0;
  virtual std::int64_t bytes_read() const = 0;  // of total_bytes()

  // Called once with everything that next() gave, sorted by name: puts right in names and keys what only the whole
  // tells, and refuses a source that lacks something. What follows is asked afterwards.
  virtual void settle(std::vector<TokenizedExample>& all) = 0;
  virtual std::int64_t num_labels() const = 0;
  virtual bool has_keys() const = 0;
  virtual std::string describe(const ExampleName& name) const = 0;  // "train/pos/17"
  // For the shards' attributes.
  virtual std::map<std::string, std::string> provenance() const = 0;
};

}  // namespace fedmpi
