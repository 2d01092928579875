#include "staged_output.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Refused = StagedOutput::Refused;

TEST(StagedOutput, MovesAllOrRemovesWhatItMade) {
  const TemporaryDirectory directory;
  {
    StagedOutput output(directory / "a" / "b", Refused::anything);
    write_bytes(output.staging() / "one", "1");
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  StagedOutput output(directory / "a" / "b", Refused::anything);
  write_bytes(output.staging() / "one", "1");
  write_bytes(output.staging() / "two", "2");
  EXPECT_FALSE(std::filesystem::exists(directory / "a" / "b" / "one"));
  output.commit({"two", "one"});
  EXPECT_EQ(read_bytes(directory / "a" / "b" / "one") + read_bytes(directory / "a" / "b" / "two"), "12");
}

TEST(StagedOutput, RefusesWhatIsThereAlready) {
  const TemporaryDirectory directory;
  write_bytes(directory / "notes.txt", "");
  EXPECT_THROW(StagedOutput(directory.path(), Refused::anything), UserError);
  EXPECT_NO_THROW(StagedOutput(directory.path(), Refused::shards));
  write_bytes(directory / "train-00000.h5", "");
  EXPECT_THROW(StagedOutput(directory.path(), Refused::shards), UserError);
  EXPECT_THROW(StagedOutput(directory / "notes.txt", Refused::anything), FileError);
}

TEST(StagedOutput, RefusesWhatCameMeanwhile) {
  const TemporaryDirectory directory;
  StagedOutput output(directory.path(), Refused::anything);
  write_bytes(output.staging() / "one", "1");
  write_bytes(directory / "one", "of another");
  EXPECT_THROW(output.commit({"one"}), UserError);
  EXPECT_EQ(read_bytes(directory / "one"), "of another");
}

}  // namespace
}  // namespace fedmpi
