#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

namespace fedmpi {

using ReviewFiles = std::vector<std::pair<std::string, std::string>>;  // name, text

// The smallest set that has every split and label.
inline ReviewFiles small_reviews() {
  return {{"aclImdb/train/pos/0_9.txt", "good good"},
          {"aclImdb/train/neg/0_2.txt", "bad"},
          {"aclImdb/train/neg/1_1.txt", "bad bad bad"},
          {"aclImdb/test/pos/5_8.txt", "good"},
          {"aclImdb/test/neg/3_3.txt", "bad good"}};
}

inline void write_archive(const std::filesystem::path& path, const ReviewFiles& files, int type = AE_IFREG,
                          int format = ARCHIVE_FORMAT_TAR_USTAR, bool compressed = true) {
  archive* tar = archive_write_new();
  if (compressed) archive_write_add_filter_gzip(tar);
  archive_write_set_format(tar, format);
  if (archive_write_open_filename(tar, path.c_str()) != ARCHIVE_OK) throw std::runtime_error("no archive");
  for (const auto& [name, text] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, static_cast<unsigned>(type));
    archive_entry_set_perm(entry, 0644);
    if (type == AE_IFLNK) archive_entry_set_symlink(entry, "/etc/hostname");
    archive_entry_set_size(entry, static_cast<la_int64_t>(type == AE_IFREG ? text.size() : 0));
    archive_write_header(tar, entry);
    if (type == AE_IFREG) archive_write_data(tar, text.data(), text.size());
    archive_entry_free(entry);
  }
  archive_write_close(tar);
  archive_write_free(tar);
}

inline void write_files(const std::filesystem::path& root, const ReviewFiles& files) {
  for (const auto& [name, text] : files) {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name, std::ios::binary) << text;
  }
}

}  // namespace fedmpi
