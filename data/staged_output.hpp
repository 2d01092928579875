#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fedmpi {

// A directory that gets all its shards or none. Files are written into staging(), a hidden directory inside it, and
// moved to their places in commit(). Destroyed without commit(), everything that was made is removed again.
class StagedOutput {
 public:
  // Throws UserError when `directory` holds shards already, FileError when it cannot be written.
  explicit StagedOutput(std::filesystem::path directory);
  ~StagedOutput();
  StagedOutput(const StagedOutput&) = delete;
  StagedOutput& operator=(const StagedOutput&) = delete;

  const std::filesystem::path& staging() const { return staging_; }

  // Moves the files in the order given: the last one must be one without which the others are not accepted.
  void commit(const std::vector<std::string>& names);

 private:
  void refuse_shards() const;
  void make_directory();
  void remove_directories() noexcept;

  std::filesystem::path directory_, staging_;
  std::vector<std::filesystem::path> made_;   // directories, outermost first
  std::vector<std::filesystem::path> moved_;  // files in their places, not yet complete
};

}  // namespace fedmpi
