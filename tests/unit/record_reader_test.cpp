#include "record_reader.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr Dialect csv{TableFormat::csv}, tsv{TableFormat::tsv}, jsonl{TableFormat::jsonl};

class RecordReaderTest : public testing::Test {
 protected:
  Rows read(const std::string& bytes, const Dialect& dialect, const std::vector<std::string>& columns) {
    write_bytes(path_, bytes);
    const auto reader = open_records(path_, dialect, columns);
    Rows rows;
    for (std::vector<std::string> values; reader->next(values);) rows.push_back(values);
    EXPECT_EQ(reader->bytes_read(), static_cast<std::int64_t>(bytes.size()));
    return rows;
  }

  // Without the path of the file.
  std::string error(const std::string& bytes, const Dialect& dialect, const std::vector<std::string>& columns) {
    try {
      read(bytes, dialect, columns);
    } catch (const FileError& error) {
      EXPECT_EQ(error.path, path_);
      const std::string text = error.what();
      EXPECT_EQ(text.find(path_.string()), 0U) << text;
      return text.substr(path_.string().size());
    }
    return "no error";
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "table";
};

#define EXPECT_BEGINS(text, start) EXPECT_EQ((text).find(start), 0U) << (text)

TEST_F(RecordReaderTest, GivesTheChosenColumnsInTheirOrder) {
  EXPECT_EQ(read("id,text,label\n1,good film,pos\n2,,neg\n", csv, {"label", "text"}),
            (Rows{{"pos", "good film"}, {"neg", ""}}));
  EXPECT_EQ(read("text\tlabel\na, b\tx\n", tsv, {"text", "label"}), (Rows{{"a, b", "x"}}));
  EXPECT_EQ(read("good,1\nbad,0", {TableFormat::csv, false}, {"2", "1"}), (Rows{{"1", "good"}, {"0", "bad"}}));
  EXPECT_EQ(read("a,b\n", csv, {"a", "b"}), Rows{});
}

// The rules of RFC 4180, section 2, and what Python's csv module writes.
TEST_F(RecordReaderTest, QuotesHoldSeparatorsLineBreaksAndDoubledQuotes) {
  const std::string text =
      "a,b\r\n"
      "\"x, y\",\"he said \"\"no\"\"\"\r\n"
      "\"two\nlines\r\nand\rmore\",\"\"\r\n"
      "5\" disk,\"\"\"\"\r\n"
      "last,row";
  EXPECT_EQ(read(text, csv, {"a", "b"}),
            (Rows{{"x, y", "he said \"no\""}, {"two\nlines\r\nand\rmore", ""}, {"5\" disk", "\""}, {"last", "row"}}));
  EXPECT_EQ(read("a\tb\n\"x\ty\"\t1\n", tsv, {"a", "b"}), (Rows{{"x\ty", "1"}}));
  EXPECT_EQ(read("a\tb\n\"x\t\"y\" z\n", {TableFormat::tsv, true, false}, {"a", "b"}), (Rows{{"\"x", "\"y\" z"}}));
}

TEST_F(RecordReaderTest, BlankLinesAndAByteOrderMarkArePassedOver) {
  EXPECT_EQ(read("\xEF\xBB\xBF\n\na,b\n\r\n1,2\n\n\n3,4\n\n", csv, {"a", "b"}), (Rows{{"1", "2"}, {"3", "4"}}));
  EXPECT_EQ(read("\xEF\xBB\xBF\"a\",b\n1,2\n", csv, {"a"}), (Rows{{"1"}}));
  EXPECT_EQ(read("a\n\"\"\n\n1\n", csv, {"a"}), (Rows{{""}, {"1"}}));
  EXPECT_EQ(read("\xEF\xBB\xBF{\"a\":1}\r\n\r\n\n{\"a\":2}", jsonl, {"a"}), (Rows{{"1"}, {"2"}}));
}

TEST_F(RecordReaderTest, AnyBytesAreKept) {
  const std::string bytes("\0\x01\xFF\xC3", 4);
  EXPECT_EQ(read("a,b\n" + bytes + ",\"" + bytes + "\"\n", csv, {"a", "b"}), (Rows{{bytes, bytes}}));
  const std::string large(5'000'000, 'x');  // larger than what is read at a time
  EXPECT_EQ(read("a,b\n" + large + ",1\n2,\"" + large + "\"\n", csv, {"b", "a"}), (Rows{{"1", large}, {large, "2"}}));
}

TEST_F(RecordReaderTest, ErrorsOfTablesNameTheLine) {
  EXPECT_BEGINS(error("", csv, {"a"}), ":1: is empty");
  EXPECT_BEGINS(error("\n\n", csv, {"a"}), ":3: is empty");
  EXPECT_BEGINS(error("id,text\n", csv, {"txt"}), ":1: has no column 'txt'; did you mean 'text'? it has id, text");
  EXPECT_BEGINS(error("id,a,a\n", csv, {"a"}), ":1: has two columns 'a'");
  EXPECT_BEGINS(error("a,b\n\"1\n2\",3\n\n4,5,6\n", csv, {"a"}), ":5: has 3 fields where the first row has 2");
  EXPECT_BEGINS(error("a\tb\n1\n", tsv, {"a"}), ":2: has 1 field where the first row has 2");
  EXPECT_BEGINS(error("a,b\n1,2\n3,\"4\n5,6\n", csv, {"a"}), ":3: has a field whose closing quote is missing");
  EXPECT_BEGINS(error("a,b\n\"1\" x,2\n", csv, {"a"}), ":2: has more in a field after its closing quote");
  EXPECT_BEGINS(error("a,b\r1,2\r", csv, {"a"}), ":1: has a carriage return without a line feed");
  EXPECT_BEGINS(error("1,2\n", {TableFormat::csv, false}, {"3"}), ":1: has no column '3': without a header");
  EXPECT_BEGINS(error("1,2\n", {TableFormat::csv, false}, {"text"}), ":1: has no column 'text': without a header");
  EXPECT_BEGINS(error("1,2\n", {TableFormat::csv, false}, {"0"}), ":1: has no column '0': without a header");
  EXPECT_BEGINS(error("1,2\n", {TableFormat::csv, false}, {"01"}), ":1: has no column '01': without a header");
  EXPECT_BEGINS(error(std::string("\xFF\xFE"
                                  "a\0,\0",
                                  6),
                      csv, {"a"}),
                ":1: is UTF-16");
  EXPECT_BEGINS(error(std::string(1 << 17, ','), csv, {"a"}), ":1: has a row of more than 65536 fields");
  EXPECT_BEGINS(error("a,b\n\"" + std::string((16 << 20) + 1, 'x') + "\",1\n", csv, {"a"}),
                ":2: has a row of more than 16 MB");
  EXPECT_THROW(open_records(directory_ / "none.csv", csv, {"a"}), FileError);
  EXPECT_THROW(open_records(directory_.path(), csv, {"a"}), FileError);
}

TEST_F(RecordReaderTest, JsonValuesAreTextsWholeNumbersAndTruth) {
  const std::string text =
      "{\"text\": \"caf\\u00e9 \\\"x\\\"\\n\", \"label\": 3, \"more\": {\"label\": [1, [2]]}}\n"
      "{\"label\": true, \"text\": \"\", \"list\": [{\"text\": 5}]}\n"
      "  {\"label\": -7, \"text\": \"\xC3\xA9\"}  \n";
  EXPECT_EQ(read(text, jsonl, {"text", "label"}),
            (Rows{{"caf\xC3\xA9 \"x\"\n", "3"}, {"", "true"}, {"\xC3\xA9", "-7"}}));
}

TEST_F(RecordReaderTest, ErrorsOfJsonNameTheLine) {
  const std::string good = "{\"text\": \"a\", \"label\": 1}\n";
  const std::vector<std::string> columns{"text", "label"};
  EXPECT_BEGINS(error(good + "\n{\"text\": \"a\", \"labels\": 1}\n", jsonl, columns),
                ":3: has no column 'label'; did you mean 'labels'? it has labels, text");
  EXPECT_BEGINS(error(good + "{\"text\": \"a\"", jsonl, columns), ":2: is not JSON from its byte ");
  EXPECT_BEGINS(error(good + good.substr(0, good.size() - 1) + good, jsonl, columns), ":2: is not JSON from its byte ");
  EXPECT_BEGINS(error("{\"text\": \"\xFF\", \"label\": 1}\n", jsonl, columns), ":1: is not JSON from its byte ");
  EXPECT_BEGINS(error("[1, 2]\n", jsonl, columns), ":1: is not an object");
  for (const char* value : {"null", "1.5", "[1]", "{\"a\": 1}", "1e3", "18446744073709551616"}) {
    EXPECT_BEGINS(error("{\"text\": \"a\", \"label\": " + std::string(value) + "}\n", jsonl, columns),
                  ":1: 'label' is neither a text nor a whole number")
        << value;
  }
  EXPECT_BEGINS(error("{\"text\": \"a\", \"label\": 1e999}\n", jsonl, columns), ":1: holds a number that is too large");
  EXPECT_BEGINS(error("{\"text\": xyz}\n", jsonl, columns), ":1: is not JSON from its byte 10 on");
  EXPECT_BEGINS(error(std::string((16 << 20) + 1, ' '), jsonl, columns), ":1: is a line of more than 16 MB");
  const std::string deep(1 << 20, '[');
  EXPECT_BEGINS(error("{\"text\": " + deep + "\n", jsonl, columns), ":1: is not JSON from its byte ");
}

}  // namespace
}  // namespace fedmpi
