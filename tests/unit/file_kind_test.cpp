#include "fedmpi/file_kind.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "temporary_directory.hpp"

#include <functional>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

class FileKinds : public testing::Test {
 protected:
  std::filesystem::path write(const std::function<void(Hdf5Writer&)>& fill) {
    const std::filesystem::path path = directory_ / "file.h5";
    Hdf5Writer file(path);
    fill(file);
    file.commit();
    return path;
  }
  std::filesystem::path with_schema(const std::string& schema) {
    return write([&](Hdf5Writer& file) { file.write_string("/", "schema", schema); });
  }
  TemporaryDirectory directory_;
};

TEST_F(FileKinds, AreWhatTheFilesSay) {
  EXPECT_EQ(file_kind(with_schema("fedmpi-shard")), FileKind::text_shard);
  EXPECT_EQ(file_kind(with_schema("fedmpi-checkpoint")), FileKind::checkpoint);
  EXPECT_EQ(file_kind(with_schema("fedmpi-partial-round")), FileKind::partial_round);
  EXPECT_EQ(file_kind(write([](Hdf5Writer& file) { file.write("/kept", at::ones({3})); })), FileKind::client_state);
  EXPECT_EQ(file_kind(write([](Hdf5Writer& file) {
              file.write("/features", at::ones({3, 2}));
              file.write("/labels", at::ones({3}));
              file.write_string("/", "schema", "mine");
            })),
            FileKind::array_shard);
}

TEST_F(FileKinds, OfOthersThereAreNone) {
  EXPECT_THROW(file_kind(with_schema("fedmpi-shards")), FileError);
  EXPECT_THROW(file_kind(write([](Hdf5Writer& file) { file.write("/features", at::ones({3})); })), FileError);
  EXPECT_THROW(file_kind(directory_.path()), FileError);
  EXPECT_THROW(file_kind(directory_ / "none"), FileError);
  EXPECT_THROW(file_kind("/dev/null"), FileError);
  const std::string bytes = read_bytes(with_schema("fedmpi-shard"));
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{8}, bytes.size() / 2}) {
    write_bytes(directory_ / "cut.h5", bytes.substr(0, size));
    EXPECT_THROW(file_kind(directory_ / "cut.h5"), FileError) << size;
  }
}

}  // namespace
}  // namespace fedmpi
