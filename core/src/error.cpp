#include "fedmpi/error.hpp"

#include <algorithm>
#include <utility>

#include <c10/util/Exception.h>

namespace fedmpi {

Error::~Error() = default;
UserError::~UserError() = default;

ConfigError::ConfigError(const std::string& message, std::string where_, std::string key_)
    : UserError{message}, where{std::move(where_)}, key{std::move(key_)} {}
ConfigError::~ConfigError() = default;

FileError::FileError(const std::string& message, std::filesystem::path path_)
    : UserError{message}, path{std::move(path_)} {}
FileError::~FileError() = default;

PluginError::PluginError(const std::string& message, std::filesystem::path path_)
    : UserError{message}, path{std::move(path_)} {}
PluginError::~PluginError() = default;

std::string one_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string message = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

}  // namespace fedmpi
