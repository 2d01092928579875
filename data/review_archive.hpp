#pragma once

#include "fedmpi/dataset.hpp"

#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fedmpi {

// Which review: {train,test}/{neg,pos}/<id>_<rating>.txt. The order of keys does not depend on the source.
struct ReviewKey {
  Split split = Split::train;
  int label = 0;  // neg 0, pos 1
  std::int64_t id = 0;
  auto operator<=>(const ReviewKey&) const = default;
};

struct Review {
  ReviewKey key;
  std::string text;  // bytes as they are in the file
};

std::string to_string(const ReviewKey& key);  // "train/pos/17"

// The key a file name stands for, with at most one directory before the split; none for any other file.
std::optional<ReviewKey> parse_review_path(std::string_view path);

// The labelled reviews of the Large Movie Review Dataset, one after another, in whatever order they come; other files
// are passed over. The source is untrusted: next() throws FileError for one that is broken, for a review over 1 MB and
// for more than a million reviews. One thread.
class ReviewSource {
 public:
  virtual ~ReviewSource() = default;
  virtual bool next(Review& review) = 0;  // false at the end
  virtual std::int64_t total_bytes() const = 0;
  virtual std::int64_t bytes_read() const = 0;  // of total_bytes()
};

// `path` is the publisher's aclImdb_v1.tar.gz, or the directory that came out of it or that holds that one.
// Throws FileError when it is neither.
std::unique_ptr<ReviewSource> open_reviews(const std::filesystem::path& path);

}  // namespace fedmpi
