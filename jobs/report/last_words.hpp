#pragma once

#include <filesystem>
#include <string>

namespace fedmpi {

// The error that the server's log in a run's directory ends with; "" where there is no log or it ends otherwise.
std::string last_words(const std::filesystem::path& directory);

}  // namespace fedmpi
