#include "review_archive.hpp"

#include "fedmpi/error.hpp"
#include "review_files.hpp"
#include "temporary_directory.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

std::map<std::string, std::string> read_all(const std::filesystem::path& path) {
  const auto source = open_reviews(path);
  std::map<std::string, std::string> reviews;
  for (Example review; source->next(review);) reviews[review_name(review.name)] = review.text;
  EXPECT_EQ(source->bytes_read(), source->total_bytes());
  return reviews;
}

const std::map<std::string, std::string> expected{{"train/pos/0", "good good"},
                                                  {"train/neg/0", "bad"},
                                                  {"train/neg/1", "bad bad bad"},
                                                  {"test/pos/5", "good"},
                                                  {"test/neg/3", "bad good"}};

std::string error_of(const std::filesystem::path& path) {
  try {
    read_all(path);
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ReviewPath, TellsReviewsFromOtherFiles) {
  const ExampleName name{Split::train, 1, 17};
  for (const char* path : {"aclImdb/train/pos/17_10.txt", "./aclImdb/train/pos/17_10.txt", "train/pos/17_1.txt",
                           "./train/pos/17_1.txt", "any/train/pos/17_0.txt"}) {
    EXPECT_EQ(parse_review_path(path), name) << path;
  }
  EXPECT_EQ(parse_review_path("test/neg/0_1.txt"), (ExampleName{Split::test, 0, 0}));
  for (const char* path :
       {"", "17_10.txt", "pos/17_10.txt", "aclImdb/train/unsup/17_0.txt", "a/b/train/pos/17_1.txt", "train/pos/17.txt",
        "train/pos/_1.txt", "train/pos/17_.txt", "train/pos/17_1.txt.gz", "train/pos/-1_1.txt", "train/pos/+1_1.txt",
        "train/pos/._17_1.txt", "train/pos/99999999999999999999_1.txt", "train/pos/", "aclImdb/train/urls_pos.txt"}) {
    EXPECT_EQ(parse_review_path(path), std::nullopt) << path;
  }
}

TEST(ReviewSource, ReadsAnArchiveAndPassesOverOtherFiles) {
  TemporaryDirectory directory;
  ReviewFiles files = small_reviews();
  files.insert(files.begin() + 1, {"aclImdb/train/unsup/0_0.txt", std::string(3 << 20, 'u')});
  files.push_back({"aclImdb/README", "read me"});
  write_archive(directory / "a.tar.gz", files);
  EXPECT_EQ(read_all(directory / "a.tar.gz"), expected);
}

TEST(ReviewSource, ReadsTheExtractedDirectoryAndItsParent) {
  TemporaryDirectory directory;
  write_files(directory.path(), small_reviews());
  write_files(directory.path(), {{"aclImdb/train/unsup/0_0.txt", "u"}, {"aclImdb/train/pos/notes.md", "n"}});
  EXPECT_EQ(read_all(directory.path()), expected);
  EXPECT_EQ(read_all(directory / "aclImdb"), expected);
}

TEST(ReviewSource, ATruncatedArchiveIsAnErrorWhereverItEnds) {
  TemporaryDirectory directory;
  ReviewFiles files = small_reviews();
  for (int i = 10; i < 60; ++i) files.push_back({"aclImdb/test/pos/" + std::to_string(i) + "_9.txt", "good"});
  write_archive(directory / "whole.tar.gz", files);
  const std::string whole = read_bytes(directory / "whole.tar.gz");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_bytes(directory / "cut.tar.gz", whole.substr(0, size));
    EXPECT_FALSE(error_of(directory / "cut.tar.gz").empty()) << size << " of " << whole.size() << " bytes";
  }
}

TEST(ReviewSource, AFlippedBitNeverGivesOtherReviews) {
  TemporaryDirectory directory;
  write_archive(directory / "whole.tar.gz", small_reviews());
  const std::string whole = read_bytes(directory / "whole.tar.gz");
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    write_bytes(directory / "flipped.tar.gz", flipped);
    try {
      EXPECT_EQ(read_all(directory / "flipped.tar.gz"), expected) << "byte " << at;
    } catch (const FileError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(whole.size()) * 9 / 10);  // the rest is the header's time and equal encodings
}

TEST(ReviewSource, OtherFilesAreNotArchives) {
  TemporaryDirectory directory;
  write_bytes(directory / "text.tar.gz", "not an archive");
  EXPECT_TRUE(contains(error_of(directory / "text.tar.gz"), "not a gzip file"));
  EXPECT_TRUE(contains(error_of(directory / "missing.tar.gz"), "no such archive"));
  std::filesystem::create_directory(directory / "empty");
  EXPECT_TRUE(contains(error_of(directory / "empty"), "holds neither train/ nor aclImdb/train/"));
  std::filesystem::create_directories(directory / "half" / "train" / "neg");
  EXPECT_TRUE(contains(error_of(directory / "half"), "cannot be read"));
}

// A tar header's checksum is the sum of its bytes with blanks in its own place.
void set_tar_type(std::string& tar, char type) {
  tar[156] = type;
  std::fill_n(tar.begin() + 148, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[i]);
  std::snprintf(tar.data() + 148, 8, "%06o", sum);
}

TEST(ReviewSource, ANegativeSizeIsAnError) {
  TemporaryDirectory directory;
  write_archive(directory / "tar", {{"attributes", "26 GNU.sparse.realsize=-5\n"}, {"train/pos/1_9.txt", "good"}},
                AE_IFREG, ARCHIVE_FORMAT_TAR_USTAR, false);
  std::string tar = read_bytes(directory / "tar");
  set_tar_type(tar, 'x');  // the first entry now says more of the second
  write_archive(directory / "a.tar.gz", {{"", tar}}, AE_IFREG, ARCHIVE_FORMAT_RAW);
  EXPECT_TRUE(contains(error_of(directory / "a.tar.gz"), "has no size"));
}

TEST(ReviewSource, BoundsAReviewAndTakesOnlyPlainFiles) {
  TemporaryDirectory directory;
  write_archive(directory / "large.tar.gz", {{"train/pos/1_9.txt", std::string((1 << 20) + 1, 'x')}});
  EXPECT_TRUE(contains(error_of(directory / "large.tar.gz"), "larger than 1 MB"));
  write_archive(directory / "limit.tar.gz", {{"train/pos/1_9.txt", std::string(1 << 20, 'x')}});
  EXPECT_EQ(read_all(directory / "limit.tar.gz").size(), 1u);
  write_archive(directory / "link.tar.gz", {{"train/pos/1_9.txt", ""}}, AE_IFLNK);
  EXPECT_TRUE(contains(error_of(directory / "link.tar.gz"), "not a plain file"));
  write_files(directory / "large", small_reviews());
  write_files(directory / "large", {{"aclImdb/train/pos/2_9.txt", std::string((1 << 20) + 1, 'x')}});
  EXPECT_THROW(read_all(directory / "large"), FileError);
}

}  // namespace
}  // namespace fedmpi
