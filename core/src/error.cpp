#include "fedmpi/error.hpp"

#include <utility>

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

ClientError::ClientError(const std::string& message, int client_) : Error{message}, client{client_} {}
ClientError::~ClientError() = default;

}  // namespace fedmpi
