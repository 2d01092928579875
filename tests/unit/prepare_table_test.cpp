#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/shard.hpp"
#include "prepare.hpp"
#include "temporary_directory.hpp"
#include "text.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// Label, key (0 without), tokens.
using Row = std::tuple<std::int64_t, std::int64_t, std::vector<std::int32_t>>;

std::vector<Row> rows_of(const Shard& shard) {
  std::vector<Row> result;
  for (std::int64_t i = 0; i < shard.labels.numel(); ++i) {
    const at::Tensor row =
        shard.tokens.slice(0, shard.offsets[i].item<std::int64_t>(), shard.offsets[i + 1].item<std::int64_t>());
    const auto* data = row.const_data_ptr<std::int32_t>();
    result.emplace_back(shard.labels[i].item<std::int64_t>(),
                        shard.keys.defined() ? shard.keys[i].item<std::int64_t>() : 0,
                        std::vector<std::int32_t>(data, data + row.numel()));
  }
  std::sort(result.begin(), result.end());
  return result;
}

class PrepareTableTest : public testing::Test {
 protected:
  PrepareTableTest() {
    write_bytes(directory_ / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\ngood\nbad\n");
    settings_ = {.vocabulary = directory_ / "vocab.txt", .output = directory_ / "out", .threads = 2, .progress = false};
    table_.text = "text";
    table_.label = "label";
    table_.files = {directory_ / "train.csv"};
    table_.test_files = {directory_ / "test.csv"};
    write_bytes(directory_ / "train.csv", "label,text\nspam,good\nham,bad bad\nspam,\"good, bad\"\n");
    write_bytes(directory_ / "test.csv", "text,label\ngood good,ham\n");
  }

  Shard prepared(const std::string& split) { return read_shard(settings_.output / (split + ".h5")); }

  // What went wrong; the output must not exist afterwards.
  std::string error() {
    try {
      prepare_table(table_, settings_);
    } catch (const UserError& error) {
      EXPECT_FALSE(std::filesystem::exists(settings_.output));
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }

  // Rows "word,l<i % num_labels>,u<i>".
  std::string many_rows(int count, int num_labels) {
    std::string rows = "text,label,user\n";
    for (int i = 0; i < count; ++i) {
      std::string text;
      for (int j = 0; j <= i; ++j) text += j % 2 == 0 ? "good " : "bad ";
      rows += text + ",l" + std::to_string(i % num_labels) + ",u" + std::to_string(i) + "\n";
    }
    return rows;
  }

  TemporaryDirectory directory_;
  TableSettings table_;
  PrepareSettings settings_;
};

TEST_F(PrepareTableTest, WritesBothSplitsWithTheirProvenance) {
  const PrepareSummary summary = prepare_table(table_, settings_);
  EXPECT_EQ(summary.train.num_examples, 3);
  EXPECT_EQ(summary.test.num_examples, 1);
  const Shard train = prepared("train");
  EXPECT_EQ(rows_of(train), (std::vector<Row>{{0, 0, {1, 4, 4, 2}}, {1, 0, {1, 3, 0, 4, 2}}, {1, 0, {1, 3, 2}}}));
  EXPECT_EQ(rows_of(prepared("test")), (std::vector<Row>{{0, 0, {1, 3, 3, 2}}}));
  EXPECT_EQ(train.num_labels, 2);
  EXPECT_FALSE(train.keys.defined());
  EXPECT_EQ(train.provenance.at("label_names"), R"(["ham","spam"])");
  EXPECT_EQ(train.provenance.at("source"), "train.csv, test.csv");
  EXPECT_FALSE(train.provenance.contains("test_fraction"));
  EXPECT_FALSE(train.provenance.contains("key_names"));
  const auto digest_of = [](std::string_view text) { return digest(text); };
  EXPECT_EQ(train.provenance.at("texts_digest"),
            digest_of("train/ham/1 " + digest_of("bad bad") + "\ntrain/spam/0 " + digest_of("good") +
                      "\ntrain/spam/2 " + digest_of("good, bad") + "\n"));
}

TEST_F(PrepareTableTest, LabelsAreNumberedByNameOrAsNumbers) {
  write_bytes(directory_ / "train.csv", "label,text\n10,good\n9,bad\n-1,bad\n");
  write_bytes(directory_ / "test.csv", "text,label\ngood,9\n");
  prepare_table(table_, settings_);
  EXPECT_EQ(prepared("train").provenance.at("label_names"), R"(["-1","9","10"])");
  EXPECT_EQ(prepared("test").labels.item<std::int64_t>(), 1);
  settings_.output = directory_ / "words";
  write_bytes(directory_ / "train.csv", "label,text\n10,good\n9,bad\n09,bad\n");
  prepare_table(table_, settings_);
  EXPECT_EQ(prepared("train").provenance.at("label_names"), R"(["09","10","9"])");
}

TEST_F(PrepareTableTest, KeysAreKeptAsNumbersOrNumberedByName) {
  table_.key = "user";
  write_bytes(directory_ / "train.csv", "user,label,text\n70000000000,a,good\n-3,b,bad\n");
  write_bytes(directory_ / "test.csv", "user,label,text\n5,a,good\n");
  prepare_table(table_, settings_);
  EXPECT_EQ(rows_of(prepared("train")), (std::vector<Row>{{0, 70'000'000'000, {1, 3, 2}}, {1, -3, {1, 4, 2}}}));
  EXPECT_EQ(prepared("test").keys.item<std::int64_t>(), 5);
  EXPECT_FALSE(prepared("test").provenance.contains("key_names"));
  settings_.output = directory_ / "names";
  write_bytes(directory_ / "train.csv", "user,label,text\nzoe,a,good\nada,b,bad\nzoe,b,bad\n");
  prepare_table(table_, settings_);
  EXPECT_EQ(rows_of(prepared("train")), (std::vector<Row>{{0, 2, {1, 3, 2}}, {1, 1, {1, 4, 2}}, {1, 2, {1, 4, 2}}}));
  EXPECT_EQ(prepared("test").keys.item<std::int64_t>(), 0);
  EXPECT_EQ(prepared("test").provenance.at("key_names"), R"(["5","ada","zoe"])");
}

TEST_F(PrepareTableTest, APartIsChosenForTestingBySeed) {
  table_.test_files.clear();
  table_.test_fraction = 0.25;
  write_bytes(directory_ / "train.csv", many_rows(50, 4));
  prepare_table(table_, settings_);
  const auto train = rows_of(prepared("train")), test = rows_of(prepared("test"));
  EXPECT_EQ(train.size(), 37U);  // 12.5 is rounded to 13
  EXPECT_EQ(test.size(), 13U);
  EXPECT_EQ(prepared("train").provenance.at("test_fraction"), "0.25");
  std::vector<Row> all = train;
  all.insert(all.end(), test.begin(), test.end());
  std::map<std::size_t, int> lengths;
  for (const Row& example : all) ++lengths[std::get<2>(example).size()];
  EXPECT_EQ(lengths.size(), 50U);  // every row once
  settings_.output = directory_ / "again";
  settings_.threads = 3;
  prepare_table(table_, settings_);
  EXPECT_EQ(rows_of(prepared("test")), test);
  settings_.output = directory_ / "other";
  settings_.seed = 7;
  prepare_table(table_, settings_);
  EXPECT_NE(rows_of(prepared("test")), test);
}

TEST_F(PrepareTableTest, TheFormatDoesNotMatter) {
  table_.test_files.clear();
  table_.key = "user";
  const std::string rows = many_rows(40, 3);
  write_bytes(directory_ / "train.csv", rows);
  prepare_table(table_, settings_);
  const Shard expected = prepared("train");
  std::string tabs = rows, lines;
  std::replace(tabs.begin(), tabs.end(), ',', '\t');
  for (std::size_t begin = rows.find('\n') + 1; begin < rows.size();) {
    const std::size_t end = rows.find('\n', begin), text = rows.find(',', begin), label = rows.find(',', text + 1);
    lines += "{\"text\":\"" + rows.substr(begin, text - begin) + "\",\"label\":\"" +
             rows.substr(text + 1, label - text - 1) + "\",\"user\":\"" + rows.substr(label + 1, end - label - 1) +
             "\"}\n";
    begin = end + 1;
  }
  write_bytes(directory_ / "tabs", tabs);
  write_bytes(directory_ / "lines", lines);
  for (const auto& [name, format] : {std::pair{"tabs", TableFormat::tsv}, std::pair{"lines", TableFormat::jsonl}}) {
    table_.files = {directory_ / name};
    table_.dialect.format = format;
    settings_.output = directory_ / "out" / name;
    prepare_table(table_, settings_);
    const Shard shard = prepared("train");
    EXPECT_TRUE(at::equal(shard.tokens, expected.tokens));
    EXPECT_TRUE(at::equal(shard.labels, expected.labels));
    EXPECT_TRUE(at::equal(shard.keys, expected.keys));
    EXPECT_EQ(shard.provenance.at("texts_digest"), expected.provenance.at("texts_digest"));
  }
}

TEST_F(PrepareTableTest, SeveralFilesAreOneTable) {
  write_bytes(directory_ / "more.csv", "text,label\nbad,eggs\n");
  table_.files.push_back(directory_ / "more.csv");
  const PrepareSummary summary = prepare_table(table_, settings_);
  EXPECT_EQ(summary.train.num_examples, 4);
  EXPECT_EQ(prepared("test").num_labels, 3);
  EXPECT_EQ(prepared("test").provenance.at("label_names"), R"(["eggs","ham","spam"])");
}

TEST_F(PrepareTableTest, AMistakeLeavesNothing) {
  const std::string header = "label,text\n";
  table_.label = "lable";
  EXPECT_TRUE(contains(error(), "train.csv:1: has no column 'lable'; did you mean 'label'?"));
  table_.label = "text";
  EXPECT_TRUE(contains(error(), "--text and --label are both 'text'"));
  table_.label = "label";
  table_.test_fraction = 1.0;
  EXPECT_TRUE(contains(error(), "--test-fraction must be between 0 and 1, not 1"));
  table_.test_fraction = 0.2;
  table_.key = "user";
  EXPECT_TRUE(contains(error(), "train.csv:1: has no column 'user'"));
  table_.key.clear();
  table_.test_files.push_back(directory_ / "missing.csv");
  EXPECT_TRUE(contains(error(), "missing.csv: there is no such file"));
  table_.test_files.pop_back();
  write_bytes(directory_ / "test.csv", header + "ham,good\neggs,good\n");
  EXPECT_TRUE(contains(error(), "test.csv:3: has the label 'eggs', which none of the files to train on has"));
  write_bytes(directory_ / "test.csv", header);
  EXPECT_TRUE(contains(error(), "test.csv: holds no examples"));
  write_bytes(directory_ / "train.csv", header + "spam,good\n,good\n");
  EXPECT_TRUE(contains(error(), "train.csv:3: has nothing in the column 'label'"));
  write_bytes(directory_ / "train.csv", header + std::string(257, 'x') + ",good\n");
  EXPECT_TRUE(contains(error(), "train.csv:2: has more than 256 bytes in the column 'label'"));
  write_bytes(directory_ / "train.csv", header);
  EXPECT_TRUE(contains(error(), "train.csv: has no rows of examples"));
  write_bytes(directory_ / "train.csv", header + "spam,good\nspam,bad\n");
  EXPECT_TRUE(contains(error(), "train.csv: the column 'label' has the same label in all rows"));
  write_bytes(directory_ / "train.csv", header + "spam,good\nham,bad\n");
  table_.test_files.clear();
  table_.test_fraction = 0.9;
  EXPECT_TRUE(contains(error(), "--test-fraction 0.9 of 2 examples leaves none to train on"));
  settings_.shards = 2;
  table_.test_fraction = 0.5;
  EXPECT_TRUE(contains(error(), "--shards 2 is more than the 1 train examples"));
}

}  // namespace
}  // namespace fedmpi
