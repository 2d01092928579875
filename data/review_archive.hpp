#pragma once

#include "example_source.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fedmpi {

// A review is {train,test}/{neg,pos}/<id>_<rating>.txt; neg is label 0, pos 1.
std::string review_name(const ExampleName& name);  // "train/pos/17"

// The review a file name stands for, with at most one directory before the split; none for any other file.
std::optional<ExampleName> parse_review_path(std::string_view path);

// The labelled reviews of the Large Movie Review Dataset; other files are passed over. `path` is the publisher's
// aclImdb_v1.tar.gz, or the directory that came out of it or that holds that one. Throws FileError when it is neither;
// the source throws it for a review over 1 MB, for more than a million reviews, for two of one name and when a split
// has none of a label.
std::unique_ptr<ExampleSource> open_reviews(const std::filesystem::path& path);

}  // namespace fedmpi
