#include "review_archive.hpp"

#include "fedmpi/error.hpp"
#include "gzip_file.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::int64_t max_review_bytes = 1 << 20;
constexpr std::int64_t max_reviews = 1'000'000;
constexpr const char* layout = "{train,test}/{neg,pos}/<id>_<rating>.txt";

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw FileError(fmt::format("{}: {}", path.string(), what), path);
}

void check_count(std::int64_t count, const std::filesystem::path& path) {
  if (count > max_reviews) fail(path, fmt::format("more than {} reviews; is this the right archive?", max_reviews));
}

void check_size(std::int64_t size, const std::string& name, const std::filesystem::path& path) {
  if (size > max_review_bytes) fail(path, fmt::format("the review {} is larger than 1 MB", name));
}

struct CloseArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};

// What reviews are, wherever they lie.
class ReviewSource : public ExampleSource {
 public:
  explicit ReviewSource(std::filesystem::path path) : path_{std::move(path)} {}

  void settle(std::vector<TokenizedExample>& all) override {
    const auto same = [](const TokenizedExample& a, const TokenizedExample& b) { return a.name == b.name; };
    const auto found = std::adjacent_find(all.begin(), all.end(), same);
    if (found != all.end()) fail(path_, fmt::format("holds two reviews {}", review_name(found->name)));
    for (const Split split : {Split::train, Split::test})
      for (const int label : {0, 1}) require(all, split, label);
  }
  std::int64_t num_labels() const override { return 2; }
  bool has_keys() const override { return false; }
  std::string describe(const ExampleName& name) const override { return review_name(name); }
  std::map<std::string, std::string> provenance() const override {
    return {{"source", (path_.has_filename() ? path_ : path_.parent_path()).filename().string()},
            {"label_names", R"(["neg","pos"])"}};
  }

 protected:
  const std::filesystem::path path_;

 private:
  void require(const std::vector<TokenizedExample>& all, Split split, int label) const {
    const bool found = std::any_of(all.begin(), all.end(), [&](const TokenizedExample& review) {
      return review.name.split == split && review.name.label == label;
    });
    if (found) return;
    const std::string file =
        fmt::format("{}/{}/<id>_<rating>.txt", split == Split::train ? "train" : "test", label == 1 ? "pos" : "neg");
    fail(path_, fmt::format("holds no review; looked for {}, alone or under one directory", file));
  }
};

class ArchiveSource : public ReviewSource {
 public:
  explicit ArchiveSource(const std::filesystem::path& path)
      : ReviewSource{path}, file_{path}, archive_{archive_read_new()} {
    archive_read_support_format_tar(archive_.get());
    if (archive_read_open(archive_.get(), this, nullptr, &ArchiveSource::read_block, nullptr) != ARCHIVE_OK) broken();
  }

  bool next(Example& review) override {
    archive_entry* entry = nullptr;
    while (next_entry(&entry)) {
      const char* name = archive_entry_pathname(entry);
      const auto parsed = parse_review_path(name != nullptr ? name : "");
      if (!parsed) continue;
      if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
        fail(path_, fmt::format("{} is not a plain file", name));
      }
      check_count(++count_, path_);
      review.name = *parsed;
      read_text(archive_entry_size(entry), name, review.text);
      return true;
    }
    return false;
  }

  std::int64_t total_bytes() const override { return file_.size(); }
  std::int64_t bytes_read() const override { return file_.bytes_read(); }

 private:
  // No exception may pass through libarchive's C code: it is kept and thrown again on this side.
  static la_ssize_t read_block(archive* handle, void* self, const void** block) {
    auto* source = static_cast<ArchiveSource*>(self);
    try {
      const std::string_view bytes = source->file_.read();
      *block = bytes.data();
      return static_cast<la_ssize_t>(bytes.size());
    } catch (...) {
      source->error_ = std::current_exception();
      archive_set_error(handle, EIO, "the file cannot be read");
      return -1;
    }
  }

  bool next_entry(archive_entry** entry) {
    const int status = archive_read_next_header(archive_.get(), entry);
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) return true;
    if (status != ARCHIVE_EOF) broken();
    while (!file_.read().empty()) {  // what follows the last entry holds the checksum
    }
    return false;
  }

  void read_text(std::int64_t size, const std::string& name, std::string& text) {
    if (size < 0) fail(path_, fmt::format("the review {} has no size", name));
    check_size(size, name, path_);
    text.resize(static_cast<std::size_t>(size));
    for (std::size_t done = 0; done < text.size();) {
      const la_ssize_t count = archive_read_data(archive_.get(), text.data() + done, text.size() - done);
      if (count <= 0) broken();
      done += static_cast<std::size_t>(count);
    }
  }

  [[noreturn]] void broken() {
    if (error_) std::rethrow_exception(error_);
    const char* reason = archive_error_string(archive_.get());
    fail(path_,
         fmt::format("not a whole tar.gz archive ({}); fetch it again", reason != nullptr ? reason : "it ends early"));
  }

  GzipFile file_;
  std::unique_ptr<archive, CloseArchive> archive_;
  std::exception_ptr error_;
  std::int64_t count_ = 0;
};

class DirectorySource : public ReviewSource {
 public:
  explicit DirectorySource(const std::filesystem::path& path) : ReviewSource{path} {
    for (const auto& root : {path, path / "aclImdb"}) {
      if (!std::filesystem::is_directory(root / "train")) continue;
      list(root);
      return;
    }
    fail(path, fmt::format("holds neither train/ nor aclImdb/train/; looked for {}", layout));
  }

  bool next(Example& review) override {
    if (next_ == files_.size()) return false;
    const std::filesystem::path& path = files_[next_++];
    review.name = *parse_review_path(name_part(path));
    std::ifstream file(path, std::ios::binary);
    review.text.resize(static_cast<std::size_t>(max_review_bytes + 1));
    file.read(review.text.data(), max_review_bytes + 1);
    if (!file.is_open() || file.bad()) fail(path, "cannot be read");
    check_size(file.gcount(), path.filename().string(), path);
    review.text.resize(static_cast<std::size_t>(file.gcount()));
    bytes_read_ += file.gcount();
    return true;
  }

  std::int64_t total_bytes() const override { return total_bytes_; }
  std::int64_t bytes_read() const override { return bytes_read_; }

 private:
  static std::string name_part(const std::filesystem::path& file) {
    const auto directory = file.parent_path();
    return (directory.parent_path().filename() / directory.filename() / file.filename()).string();
  }

  void list(const std::filesystem::path& root) {
    for (const char* part : {"train/neg", "train/pos", "test/neg", "test/pos"}) {
      std::error_code error;
      for (const auto& entry : std::filesystem::directory_iterator(root / part, error)) {
        if (!parse_review_path(name_part(entry.path()))) continue;
        if (!entry.is_regular_file()) fail(entry.path(), "is not a plain file");
        total_bytes_ += static_cast<std::int64_t>(entry.file_size());
        files_.push_back(entry.path());
        check_count(static_cast<std::int64_t>(files_.size()), root);
      }
      if (error) fail(root / part, fmt::format("cannot be read ({}); looked for {}", error.message(), layout));
    }
    std::sort(files_.begin(), files_.end());
  }

  std::vector<std::filesystem::path> files_;
  std::size_t next_ = 0;
  std::int64_t total_bytes_ = 0, bytes_read_ = 0;
};

// Takes the part after the last '/' off `path`.
std::string_view take_last(std::string_view& path) {
  const std::size_t slash = path.rfind('/');
  const std::string_view last = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  path = slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
  return last;
}

bool parse_number(std::string_view& text, std::int64_t& value) {
  if (text.empty() || text.front() == '-') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::string review_name(const ExampleName& name) {
  return fmt::format("{}/{}/{}", name.split == Split::train ? "train" : "test", name.label == 1 ? "pos" : "neg",
                     name.id);
}

std::optional<ExampleName> parse_review_path(std::string_view path) {
  if (path.starts_with("./")) path.remove_prefix(2);
  std::string_view file = take_last(path);
  const std::string_view label = take_last(path);
  const std::string_view split = take_last(path);
  if ((split != "train" && split != "test") || (label != "neg" && label != "pos")) return std::nullopt;
  if (path.find('/') != std::string_view::npos) return std::nullopt;
  ExampleName name{split == "train" ? Split::train : Split::test, label == "pos" ? 1 : 0};
  std::int64_t rating = 0;
  if (!parse_number(file, name.id) || !file.starts_with('_')) return std::nullopt;
  file.remove_prefix(1);
  if (!parse_number(file, rating) || file != ".txt") return std::nullopt;
  return name;
}

std::unique_ptr<ExampleSource> open_reviews(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return std::make_unique<DirectorySource>(path);
  if (!std::filesystem::is_regular_file(path, error)) {
    fail(path, "no such archive or directory; give aclImdb_v1.tar.gz or the directory extracted from it");
  }
  return std::make_unique<ArchiveSource>(path);
}

}  // namespace fedmpi
