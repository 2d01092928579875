#include "fedmpi/digest.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <stdexcept>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(Digest, EmptyInputHasTheHashOfTheSpecification) {
  EXPECT_EQ(digest(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Digest().hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, PiecesGiveTheHashOfTheWhole) {
  const std::string text(5000, 'x');
  Digest pieces;
  pieces.add(text.substr(0, 1));
  pieces.add("");
  pieces.add(text.substr(1));
  EXPECT_EQ(pieces.hex(), digest(text));
  EXPECT_NE(pieces.hex(), digest(text + "x"));
}

TEST(Digest, TensorIsHashedAsItsBytes) {
  const at::Tensor bytes = at::arange(300, at::kInt);
  EXPECT_EQ(digest(bytes), digest(std::string_view(static_cast<const char*>(bytes.const_data_ptr()), 1200)));
  EXPECT_EQ(digest(bytes.slice(0, 3, 5)), digest(bytes.slice(0, 3, 5).clone()));
  EXPECT_THROW(digest(bytes.view({30, 10}).t()), std::logic_error);
}

TEST(Digest, FileIsHashedAsItsBytes) {
  const TemporaryDirectory directory;
  const std::string text(3'000'000, 'y');
  write_bytes(directory / "file", text);
  EXPECT_EQ(digest_file(directory / "file"), digest(text));
  write_bytes(directory / "empty", "");
  EXPECT_EQ(digest_file(directory / "empty"), digest(""));
}

TEST(Digest, UnreadableFileIsNamed) {
  const TemporaryDirectory directory;
  EXPECT_THROW(digest_file(directory.path()), FileError);
  try {
    digest_file(directory / "missing");
    FAIL();
  } catch (const FileError& error) {
    EXPECT_EQ(error.path, directory / "missing");
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace fedmpi
