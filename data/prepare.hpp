#pragma once

#include "table_source.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace fedmpi {

struct PrepareSettings {
  std::filesystem::path vocabulary;  // vocab.txt
  std::filesystem::path output;      // directory for the shards; made when missing
  std::int64_t max_tokens = 512;     // of one example, [CLS] and [SEP] included
  bool lower_case = true;
  std::uint64_t seed = 42;  // of the order of the examples
  int shards = 1;           // files a split
  int threads = 0;          // 0: one for each core
  bool progress = true;     // on stderr
};

struct SplitSummary {
  std::int64_t num_examples = 0;
  std::int64_t num_tokens = 0;
  std::int64_t longest_tokens = 0;
  std::int64_t num_truncated = 0;
};

struct PrepareSummary {
  SplitSummary train, test;
  std::vector<std::filesystem::path> files;  // train before test, each in order
  double seconds = 0;
};

// These make shards as data/README.md describes them: all of them or, on any error and on SIGINT, SIGTERM and SIGHUP,
// none. The same settings give the same content however many threads work. Throw UserError and FileError. Main thread.

// Of the Large Movie Review Dataset: `source` is aclImdb_v1.tar.gz, or the extracted directory or its parent. The order
// in which it holds the reviews does not matter.
PrepareSummary prepare_imdb(const std::filesystem::path& source, const PrepareSettings& settings);

// Of any labelled texts.
PrepareSummary prepare_table(const TableSettings& table, const PrepareSettings& settings);

}  // namespace fedmpi
