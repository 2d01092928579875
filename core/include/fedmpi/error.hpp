#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>

namespace fedmpi {

// Root of every exception the program throws on purpose. what() is one sentence: what failed, where,
// what to do. An Error that reaches main ends the job with exit status 1.
class FEDMPI_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;
};

// A user's mistake: exit status 2, and nothing has been written.
class FEDMPI_API UserError : public Error {
 public:
  using Error::Error;
  ~UserError() override;
};

// A job file, --set argument or plugin option that is not understood. `where` is "file:line:column",
// "--set" or a plugin's name; `key` is the dotted key ("training.batch_size").
class FEDMPI_API ConfigError : public UserError {
 public:
  ConfigError(const std::string& message, std::string where, std::string key);
  ~ConfigError() override;
  std::string where;
  std::string key;
};

// A file that is missing, unreadable or not what it should be: shard, checkpoint, model, vocabulary.
class FEDMPI_API FileError : public UserError {
 public:
  FileError(const std::string& message, std::filesystem::path path);
  ~FileError() override;
  std::filesystem::path path;
};

// A plugin that cannot be found, loaded or constructed.
class FEDMPI_API PluginError : public UserError {
 public:
  PluginError(const std::string& message, std::filesystem::path path);
  ~PluginError() override;
  std::filesystem::path path;
};

// An exception's message without a library's stack trace, on one line.
FEDMPI_API std::string one_line(const std::exception& error);

}  // namespace fedmpi
