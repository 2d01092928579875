#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fedmpi {

// A directory that gets all its files or none. They are written into staging(), a hidden directory inside it, and
// moved to their places in commit(). Destroyed without commit(), everything that was made is removed again.
class StagedOutput {
 public:
  enum class Refused { shards, anything };

  // Throws UserError when `directory` holds what is refused already, FileError when it cannot be written.
  StagedOutput(std::filesystem::path directory, Refused refused);
  ~StagedOutput();
  StagedOutput(const StagedOutput&) = delete;
  StagedOutput& operator=(const StagedOutput&) = delete;

  const std::filesystem::path& staging() const { return staging_; }

  // Moves the files, on disk by then, in the order given: the last one must be one without which the others are not
  // accepted.
  void commit(const std::vector<std::string>& names);

 private:
  void refuse() const;
  void make_directory();
  void remove_directories() noexcept;

  std::filesystem::path directory_, staging_;
  Refused refused_;
  std::vector<std::filesystem::path> made_;   // directories, outermost first
  std::vector<std::filesystem::path> moved_;  // files in their places, not yet complete
};

}  // namespace fedmpi
