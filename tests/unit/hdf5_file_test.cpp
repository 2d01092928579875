#include "fedmpi/hdf5_file.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace fedmpi {
namespace {

std::vector<std::filesystem::path> entries(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) found.push_back(entry.path().filename());
  return found;
}

TEST(Hdf5File, EveryTypeAndRankComesBack) {
  const TemporaryDirectory directory;
  const std::vector<at::Tensor> tensors = {at::arange(0, 200, at::kByte),
                                           at::arange(-5, 50, at::kInt),
                                           at::arange(-5, 5, at::kLong) * (1LL << 40),
                                           at::randn({3, 5}),
                                           at::randn({2, 3, 4}, at::kDouble),
                                           at::randn({2, 1, 3, 2}),
                                           at::empty({0}, at::kInt),
                                           at::empty({3, 0}, at::kFloat),
                                           at::randn({1500, 1700}),
                                           at::arange(0, 3'000'000, at::kLong)};
  {
    Hdf5Writer file(directory / "a.h5");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      file.write("/checked/" + std::to_string(i), tensors[i]);
      file.write("/plain/" + std::to_string(i), tensors[i], false);
    }
    file.write("/transposed", tensors[3].t());
    file.commit();
  }
  const Hdf5Reader file(directory / "a.h5");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (const std::string group : {"/checked/", "/plain/"}) {
      const at::Tensor read = file.read(group + std::to_string(i));
      EXPECT_EQ(read.scalar_type(), tensors[i].scalar_type());
      EXPECT_TRUE(at::equal(read, tensors[i])) << group << i;
    }
  }
  EXPECT_TRUE(at::equal(file.read("/transposed"), tensors[3].t()));
  EXPECT_EQ(file.members("/"), (std::vector<std::string>{"checked", "plain", "transposed"}));
  EXPECT_TRUE(file.has("/checked/0"));
  EXPECT_FALSE(file.has("/checked/x"));
  EXPECT_FALSE(file.has("/nothing/here"));
  EXPECT_THROW(file.read("/checked"), FileError);
  EXPECT_THROW(file.read("/nothing"), FileError);
  EXPECT_THROW(file.members("/transposed"), FileError);
}

TEST(Hdf5File, Uint16ComesBackAsInt32AndMustFit) {
  const TemporaryDirectory directory;
  const at::Tensor values = at::tensor({0, 1, 65535}, at::kInt);
  Hdf5Writer file(directory / "a.h5");
  file.write_uint16("/values", values);
  EXPECT_THROW(file.write_uint16("/high", values + 1), FileError);
  EXPECT_THROW(file.write_uint16("/low", values - 1), FileError);
  file.commit();
  const at::Tensor read = Hdf5Reader(directory / "a.h5").read("/values");
  EXPECT_EQ(read.scalar_type(), at::kInt);
  EXPECT_TRUE(at::equal(read, values));
}

TEST(Hdf5File, TypesWithoutAFormInTheFileAreRefused) {
  const TemporaryDirectory directory;
  Hdf5Writer file(directory / "a.h5");
  EXPECT_THROW(file.write("/bf16", at::zeros({2}, at::kBFloat16)), FileError);
  EXPECT_THROW(file.write("/scalar", at::zeros({}, at::kFloat)), FileError);
}

TEST(Hdf5File, AttributesComeBack) {
  const TemporaryDirectory directory;
  const std::string large(1'000'000, 'z');
  {
    Hdf5Writer file(directory / "a.h5");
    file.write("/data", at::zeros({2}));
    file.write_string("/", "text", "naïve\nline");
    file.write_string("/", "empty", "");
    file.write_string("/data", "large", large);
    file.write_integer("/data", "least", std::numeric_limits<std::int64_t>::min());
    EXPECT_THROW(file.write_string("/", "zero", std::string("a\0b", 3)), FileError);
    EXPECT_THROW(file.write_integer("/missing", "a", 1), FileError);
    file.commit();
  }
  const Hdf5Reader file(directory / "a.h5");
  EXPECT_EQ(file.read_string("/", "text"), "naïve\nline");
  EXPECT_EQ(file.read_string("/", "empty"), "");
  EXPECT_EQ(file.read_string("/data", "large"), large);
  EXPECT_EQ(file.read_integer("/data", "least"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(file.attributes("/"), (std::vector<std::string>{"empty", "text"}));
  EXPECT_TRUE(file.has_attribute("/", "text"));
  EXPECT_FALSE(file.has_attribute("/", "data"));
  EXPECT_THROW(file.read_integer("/", "text"), FileError);
  EXPECT_THROW(file.read_string("/data", "least"), FileError);
  EXPECT_THROW(file.read_string("/", "missing"), FileError);
}

TEST(Hdf5File, EqualContentGivesEqualBytesAtAnyTime) {
  const TemporaryDirectory directory;
  for (const char* name : {"a.h5", "b.h5"}) {
    Hdf5Writer file(directory / name);
    file.write("/data", at::arange(10));
    file.write_string("/", "text", "as it is");
    file.commit();
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // times in a file count seconds
  }
  EXPECT_EQ(read_bytes(directory / "a.h5"), read_bytes(directory / "b.h5"));
}

TEST(Hdf5File, WithoutCommitNothingChanges) {
  const TemporaryDirectory directory;
  write_bytes(directory / "a.h5", "as it was");
  {
    Hdf5Writer file(directory / "a.h5");
    file.write("/data", at::zeros({1000}));
  }
  EXPECT_EQ(read_bytes(directory / "a.h5"), "as it was");
  EXPECT_EQ(entries(directory.path()).size(), 1u);
}

TEST(Hdf5File, UnwritableDirectoryIsNamed) {
  const TemporaryDirectory directory;
  try {
    Hdf5Writer file(directory / "missing/a.h5");
    FAIL();
  } catch (const FileError& error) {
    EXPECT_EQ(error.path, directory / "missing/a.h5");
    EXPECT_NE(std::string(error.what()).find("No such file or directory"), std::string::npos) << error.what();
  }
}

// Sets the largest size a file may have while it lives; writing beyond it fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(Hdf5File, FullDiskIsAnErrorAndLeavesWhatWasThere) {
  for (const bool checksummed : {true, false}) {
    for (const rlim_t limit : {0, 1000, 5'000'000}) {
      const TemporaryDirectory directory;
      write_bytes(directory / "a.h5", "as it was");
      const at::Tensor data = at::randn({2'000'000});
      try {
        const FileSizeLimit full(limit);
        Hdf5Writer file(directory / "a.h5");
        file.write("/small", at::zeros({10}), checksummed);
        file.write("/data", data, checksummed);
        file.commit();
        FAIL() << "no error at " << limit;
      } catch (const UserError& error) {
        FAIL() << "a full disk is not the user's mistake: " << error.what();
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("File too large"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("a.h5"), std::string::npos) << error.what();
      }
      EXPECT_EQ(read_bytes(directory / "a.h5"), "as it was");
      EXPECT_EQ(entries(directory.path()).size(), 1u);
    }
  }
  // The library is still of use afterwards.
  const TemporaryDirectory directory;
  Hdf5Writer file(directory / "b.h5");
  file.write("/data", at::ones({5}));
  file.commit();
  EXPECT_TRUE(at::equal(Hdf5Reader(directory / "b.h5").read("/data"), at::ones({5})));
}

TEST(Hdf5File, WhatIsNotHdf5IsRefused) {
  const TemporaryDirectory directory;
  write_bytes(directory / "text.h5", "not an HDF5 file");
  write_bytes(directory / "empty.h5", "");
  for (const char* name : {"text.h5", "empty.h5", "missing.h5", "."}) {
    EXPECT_THROW(Hdf5Reader(directory / name), FileError) << name;
  }
}

}  // namespace
}  // namespace fedmpi
