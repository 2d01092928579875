#include "table_source.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"
#include "names.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {
namespace {

constexpr std::int64_t max_labels = 1 << 16;
constexpr std::size_t max_name_bytes = 256;
constexpr std::size_t max_key_names_bytes = std::size_t{64} << 20;  // all in one attribute

void check(const TableSettings& settings) {
  if (settings.files.empty()) throw UserError("give a file to prepare");
  if (settings.text == settings.label)
    throw UserError(fmt::format("--text and --label are both '{}': give two columns", settings.text));
  if (!(settings.test_fraction > 0.0 && settings.test_fraction < 1.0))
    throw UserError(fmt::format("--test-fraction must be between 0 and 1, not {}", settings.test_fraction));
}

class TableSource final : public ExampleSource {
 public:
  TableSource(TableSettings settings, std::uint64_t seed) : settings_{std::move(settings)}, seed_{seed} {
    columns_ = {settings_.text, settings_.label};
    if (!settings_.key.empty()) columns_.push_back(settings_.key);
    paths_ = settings_.files;
    paths_.insert(paths_.end(), settings_.test_files.begin(), settings_.test_files.end());
    for (const auto& path : paths_) {
      open_records(path, settings_.dialect, columns_);  // what is wrong with one is known before any is read
      total_bytes_ += static_cast<std::int64_t>(std::filesystem::file_size(path));
    }
  }

  bool next(Example& example) override {
    while (!reader_ || !reader_->next(values_)) {
      if (reader_) before_file_ += reader_->bytes_read();
      reader_.reset();
      if (next_file_ == paths_.size()) return false;
      reader_ = open_records(paths_[next_file_++], settings_.dialect, columns_);
    }
    const bool is_test = next_file_ > settings_.files.size();
    example.name = {is_test ? Split::test : Split::train, label(values_[1], is_test), count_++};
    example.key = has_keys() ? key(values_[2]) : 0;
    example.text = std::move(values_[0]);
    return true;
  }

  std::int64_t total_bytes() const override { return total_bytes_; }
  std::int64_t bytes_read() const override { return before_file_ + (reader_ ? reader_->bytes_read() : 0); }

  void settle(std::vector<TokenizedExample>& all) override {
    const auto& first = settings_.files.front();
    if (labels_.size() == 0) throw FileError(fmt::format("{}: has no rows of examples", first.string()), first);
    if (labels_.size() < 2)
      throw FileError(
          fmt::format("{}: the column '{}' has the same label in all rows: at least two are needed to tell apart",
                      first.string(), settings_.label),
          first);
    sorted_labels_ = labels_.sort();
    sorted_keys_ = keys_.sort();
    const auto& keys = sorted_keys_.by_number.empty() ? sorted_keys_.places : sorted_keys_.by_number;
    for (TokenizedExample& example : all) {
      example.name.label = static_cast<int>(sorted_labels_.places[static_cast<std::size_t>(example.name.label)]);
      if (has_keys()) example.key = keys[static_cast<std::size_t>(example.key)];
    }
    if (settings_.test_files.empty()) choose_test(all);
    check_splits(all);
  }

  std::int64_t num_labels() const override { return labels_.size(); }
  bool has_keys() const override { return !settings_.key.empty(); }

  std::string describe(const ExampleName& name) const override {
    return fmt::format("{}/{}/{}", name.split == Split::train ? "train" : "test",
                       sorted_labels_.names[static_cast<std::size_t>(name.label)], name.id);
  }

  std::map<std::string, std::string> provenance() const override {
    std::vector<std::string> names;
    for (const auto& path : paths_) names.push_back(path.filename().string());
    std::map<std::string, std::string> result{{"source", fmt::format("{}", fmt::join(names, ", "))},
                                              {"label_names", to_json(sorted_labels_.names)}};
    if (settings_.test_files.empty()) result["test_fraction"] = fmt::format("{}", settings_.test_fraction);
    if (!has_keys() || !sorted_keys_.by_number.empty()) return result;
    std::string& key_names = result["key_names"] = to_json(sorted_keys_.names);
    if (key_names.size() > max_key_names_bytes)
      throw FileError(fmt::format("{}: the column '{}' has more than 64 MB of different keys: use whole numbers",
                                  paths_.front().string(), settings_.key),
                      paths_.front());
    return result;
  }

 private:
  void check_name(const std::string& name, const std::string& column) const {
    if (name.empty()) reader_->fail(fmt::format("has nothing in the column '{}'", column));
    if (name.size() > max_name_bytes)
      reader_->fail(fmt::format("has more than {} bytes in the column '{}': give the column of labels or of keys",
                                max_name_bytes, column));
  }

  // Numbered as they come, until all are known.
  int label(const std::string& name, bool is_test) {
    check_name(name, settings_.label);
    if (is_test && !labels_.contains(name))
      reader_->fail(fmt::format("has the label '{}', which none of the files to train on has", name));
    const std::int64_t number = labels_.add(name);
    if (number >= max_labels)
      reader_->fail(
          fmt::format("has one label more than {}: is '{}' the column of labels?", max_labels, settings_.label));
    return static_cast<int>(number);
  }

  std::int64_t key(const std::string& name) {
    check_name(name, settings_.key);
    return keys_.add(name);
  }

  // By id: as long as no test files are read, those are 0 to n - 1.
  void choose_test(std::vector<TokenizedExample>& all) const {
    std::vector<std::int64_t> order(all.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    RandomStream(derive(random_key(seed_, Purpose::prepare), 2)).shuffle(order);
    const auto wanted = static_cast<std::size_t>(std::round(settings_.test_fraction * static_cast<double>(all.size())));
    std::vector<bool> is_test(all.size());
    for (std::size_t i = 0; i < std::clamp<std::size_t>(wanted, 1, all.size()); ++i)
      is_test[static_cast<std::size_t>(order[i])] = true;
    for (TokenizedExample& example : all)
      if (is_test[static_cast<std::size_t>(example.name.id)]) example.name.split = Split::test;
  }

  void check_splits(const std::vector<TokenizedExample>& all) const {
    for (const Split split : {Split::train, Split::test}) {
      const bool found =
          std::any_of(all.begin(), all.end(), [&](const TokenizedExample& one) { return one.name.split == split; });
      if (found) continue;
      const auto& path = split == Split::test && !settings_.test_files.empty() ? settings_.test_files.front()
                                                                               : settings_.files.front();
      throw FileError(fmt::format("{}: {}", path.string(),
                                  settings_.test_files.empty()
                                      ? fmt::format("--test-fraction {} of {} examples leaves none to train on",
                                                    settings_.test_fraction, all.size())
                                      : "holds no examples"),
                      path);
    }
  }

  const TableSettings settings_;
  const std::uint64_t seed_;
  std::vector<std::string> columns_, values_;
  std::vector<std::filesystem::path> paths_;
  std::size_t next_file_ = 0;
  std::unique_ptr<RecordReader> reader_;
  Names labels_, keys_;
  Names::Sorted sorted_labels_, sorted_keys_;
  std::int64_t count_ = 0, before_file_ = 0, total_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ExampleSource> open_table(const TableSettings& settings, std::uint64_t seed) {
  check(settings);
  return std::make_unique<TableSource>(settings, seed);
}

}  // namespace fedmpi
