#include "word_piece.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr const char* tokens =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nable\n!\n##!\nthe\n\xE4\xB8\xAD\na\n##a\ncafe\nCafe\n[\n]\nsep\n";
enum : std::int32_t {
  PAD,
  UNK,
  CLS,
  SEP,
  UN,
  AFF,
  ABLE,
  able,
  MARK,
  MARK2,
  THE,
  ZHONG,
  A,
  A2,
  CAFE,
  CAFE2,
  OPEN,
  CLOSE,
  sep
};

class WordPieceTest : public testing::Test {
 protected:
  Ids encode(const std::string& text, std::int64_t max_tokens = 1000, bool lower_case = true) {
    const Vocabulary vocabulary(write("vocab.txt", tokens));
    Ids ids;
    cut_ = WordPiece(vocabulary, lower_case).encode(text, max_tokens, ids);
    return ids;
  }

  std::string vocabulary_error(const std::string& text) {
    try {
      Vocabulary vocabulary(write("bad.txt", text));
    } catch (const FileError& error) {
      EXPECT_EQ(error.path.filename(), "bad.txt");
      return error.what();
    }
    return "";
  }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    write_bytes(directory_ / name, text);
    return directory_ / name;
  }

  TemporaryDirectory directory_;
  bool cut_ = false;
};

TEST_F(WordPieceTest, SplitsGreedilyFromTheLeft) {
  EXPECT_EQ(encode("unaffable"), (Ids{CLS, UN, AFF, ABLE, SEP}));
  EXPECT_EQ(encode("able the"), (Ids{CLS, able, THE, SEP}));
  EXPECT_FALSE(cut_);
}

TEST_F(WordPieceTest, AWordThatIsNotCoveredIsUnknownAsAWhole) {
  EXPECT_EQ(encode("unaffablex the"), (Ids{CLS, UNK, THE, SEP}));
  EXPECT_EQ(encode("affable"), (Ids{CLS, UNK, SEP}));
}

TEST_F(WordPieceTest, PunctuationStandsAlone) {
  EXPECT_EQ(encode("the!!able?"), (Ids{CLS, THE, MARK, MARK, able, UNK, SEP}));
}

TEST_F(WordPieceTest, EmptyTextIsTwoTokens) {
  EXPECT_EQ(encode(""), (Ids{CLS, SEP}));
  EXPECT_EQ(encode(" \t\r\n\xE3\x80\x80"), (Ids{CLS, SEP}));
}

TEST_F(WordPieceTest, LowerCasesAndStripsAccents) {
  EXPECT_EQ(encode("THE Caf\xC3\xA9 CAFE\xCC\x81"), (Ids{CLS, THE, CAFE, CAFE, SEP}));
  EXPECT_EQ(encode("Cafe THE caf\xC3\xA9", 1000, false), (Ids{CLS, CAFE2, UNK, UNK, SEP}));
}

TEST_F(WordPieceTest, ControlCharactersVanishFromWithinWords) {
  EXPECT_EQ(encode(std::string("un\0af\x01"
                               "fab\x7Fle",
                               12)),
            (Ids{CLS, UN, AFF, ABLE, SEP}));
  EXPECT_EQ(encode("t\xE2\x80\x8Bhe"), (Ids{CLS, THE, SEP}));
}

TEST_F(WordPieceTest, InvalidBytesAreReplacedAndCleanedAway) {
  EXPECT_EQ(encode("t\xFFhe \xE4\xB8 the\xC3"), (Ids{CLS, THE, THE, SEP}));
  EXPECT_EQ(encode("\xED\xA0\x80the"), (Ids{CLS, THE, SEP}));
}

TEST_F(WordPieceTest, IdeographsStandAlone) {
  EXPECT_EQ(encode("the\xE4\xB8\xAD\xE4\xB8\xAD\xE6\x96\x87!"), (Ids{CLS, THE, ZHONG, ZHONG, UNK, MARK, SEP}));
}

TEST_F(WordPieceTest, SpecialTokensInATextAreThemselves) {
  EXPECT_EQ(encode("the[SEP]the"), (Ids{CLS, THE, SEP, THE, SEP}));
  EXPECT_EQ(encode("[[PAD]] [sep]"), (Ids{CLS, OPEN, PAD, CLOSE, OPEN, sep, CLOSE, SEP}));
  EXPECT_EQ(encode("[S\xFF"
                   "EP]"),
            (Ids{CLS, OPEN, sep, CLOSE, SEP}));
}

TEST_F(WordPieceTest, WordsOfOverAHundredCharactersAreUnknown) {
  const auto repeated = [](const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  EXPECT_EQ(encode(std::string(100, 'a')).size(), 102u);
  EXPECT_EQ(encode(std::string(101, 'a')), (Ids{CLS, UNK, SEP}));
  EXPECT_EQ(encode(std::string(200, 'a') + " the"), (Ids{CLS, UNK, THE, SEP}));
  // Counted after the accents are gone, and in characters, not bytes.
  EXPECT_EQ(encode(repeated("a\xCC\x81", 100)).size(), 102u);
  EXPECT_EQ(encode(repeated("\xC3\xA1", 101)), (Ids{CLS, UNK, SEP}));
}

TEST_F(WordPieceTest, CutsToTheLimitAndKeepsTheFrame) {
  EXPECT_EQ(encode("the unaffable the", 5), (Ids{CLS, THE, UN, AFF, SEP}));
  EXPECT_TRUE(cut_);
  EXPECT_EQ(encode("the unaffable ", 6), (Ids{CLS, THE, UN, AFF, ABLE, SEP}));
  EXPECT_FALSE(cut_);
  EXPECT_EQ(encode("the", 2), (Ids{CLS, SEP}));
  EXPECT_TRUE(cut_);
}

TEST_F(WordPieceTest, AppendsBehindWhatIsThere) {
  const Vocabulary vocabulary(write("vocab.txt", tokens));
  WordPiece tokenizer(vocabulary, true);
  Ids ids;
  tokenizer.encode("the", 4, ids);
  tokenizer.encode("the the the", 4, ids);
  EXPECT_EQ(ids, (Ids{CLS, THE, SEP, CLS, THE, THE, SEP}));
}

TEST_F(WordPieceTest, ReusingTheCacheChangesNothing) {
  const Vocabulary vocabulary(write("vocab.txt", tokens));
  WordPiece tokenizer(vocabulary, true);
  for (int round = 0; round < 3; ++round) {
    for (const char* text : {"unaffable", "UNAFFABLE the", "unaffablex", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
      Ids ids;
      tokenizer.encode(text, 1000, ids);
      EXPECT_EQ(ids, encode(text)) << text;
    }
  }
}

TEST_F(WordPieceTest, ReadsTheVocabulary) {
  const Vocabulary vocabulary(write("vocab.txt", tokens));
  EXPECT_EQ(vocabulary.size(), 19);
  EXPECT_EQ(vocabulary.find("##able"), ABLE);
  EXPECT_EQ(vocabulary.find("##abl"), -1);
  EXPECT_EQ(vocabulary.find(""), -1);
  EXPECT_EQ(vocabulary.digest(), digest(std::string_view(tokens)));
  const Vocabulary crlf(write("crlf.txt", "[UNK]\r\n[CLS]\r\n[SEP]\r\nx"));
  EXPECT_EQ(crlf.find("x"), 3);
  EXPECT_EQ(crlf.token(3), "x");
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) EXPECT_EQ(vocabulary.find(vocabulary.token(id)), id);
}

TEST_F(WordPieceTest, ABrokenVocabularyIsAnErrorThatSaysWhere) {
  const std::string start = "[UNK]\n[CLS]\n[SEP]\n";
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(contains(vocabulary_error(start + "a\nb\na\n"), "bad.txt:6: the token \"a\" stands on line 4 already"));
  EXPECT_TRUE(contains(vocabulary_error(start + "a\n\nb\n"), "bad.txt:5: empty line"));
  EXPECT_TRUE(contains(vocabulary_error(start + "a b\n"), "bad.txt:4: white space"));
  EXPECT_TRUE(contains(vocabulary_error(start + "a\xFF\n"), "bad.txt:4: not UTF-8"));
  EXPECT_TRUE(contains(vocabulary_error("[UNK]\n[CLS]\n"), "no line reads [SEP]"));
  EXPECT_TRUE(contains(vocabulary_error("[UNK]\n[SEP]\n"), "no line reads [CLS]"));
  EXPECT_TRUE(contains(vocabulary_error("[CLS]\n[SEP]\n"), "no line reads [UNK]"));
  EXPECT_TRUE(contains(vocabulary_error(""), "no line reads [UNK]"));
  EXPECT_TRUE(contains(vocabulary_error(std::string(9 << 20, 'x')), "too large"));
  EXPECT_THROW(Vocabulary(directory_ / "missing.txt"), FileError);
  EXPECT_THROW(Vocabulary(directory_.path()), FileError);
}

}  // namespace
}  // namespace fedmpi
