#include "fedmpi/options.hpp"

#include "fedmpi/error.hpp"

#include <array>
#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

constexpr std::array table{
    OptionSpec{"path", OptionType::string, nullptr, "a directory"},
    OptionSpec{"rate", OptionType::number, "0.5", "a share", 0.0, 1.0},
    OptionSpec{"steps", OptionType::integer, "3", "how many", 1.0},
    OptionSpec{"fast", OptionType::boolean, "true", "or slow"},
    OptionSpec{"mode", OptionType::string, "mean", "how", 0.0, 0.0, "mean|median"},
    OptionSpec{"sizes", OptionType::integers, "1,2,3", "of layers", 1.0, 8.0},
    OptionSpec{"weights", OptionType::numbers, "", "of labels"},
    OptionSpec{"names", OptionType::strings, "a,b", "of labels"},
};

Options make(std::map<std::string, OptionValue> given) {
  given.try_emplace("path", std::string{"x"});
  return Options{table, std::move(given), "[model] in a.toml"};
}

std::string error_of(std::map<std::string, OptionValue> given) {
  try {
    make(std::move(given));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Options, FillsInDefaultsInTheTablesTypes) {
  const Options options = make({});
  EXPECT_EQ(options.get<double>("rate"), 0.5);
  EXPECT_EQ(options.get<std::int64_t>("steps"), 3);
  EXPECT_TRUE(options.get<bool>("fast"));
  EXPECT_EQ(options.get<std::string>("mode"), "mean");
  EXPECT_EQ(options.get<std::vector<std::int64_t>>("sizes"), (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(options.get<std::vector<std::string>>("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(options.has("weights"));
}

TEST(Options, TakesAnIntegerWhereANumberIsWantedButNotTheReverse) {
  EXPECT_EQ(make({{"rate", std::int64_t{1}}}).get<double>("rate"), 1.0);
  EXPECT_EQ(make({{"weights", std::vector<std::int64_t>{1, 2}}}).get<std::vector<double>>("weights"),
            (std::vector<double>{1.0, 2.0}));
  EXPECT_EQ(error_of({{"steps", 2.0}}), "'steps' in [model] in a.toml must be an integer, not the number 2");
}

TEST(Options, AnEmptyListIsAListOfAnything) {
  const std::vector<std::int64_t> empty;
  EXPECT_TRUE(make({{"names", empty}}).get<std::vector<std::string>>("names").empty());
  EXPECT_TRUE(make({{"weights", empty}}).get<std::vector<double>>("weights").empty());
}

TEST(Options, SaysWhatIsWrong) {
  EXPECT_EQ(error_of({{"rats", 0.5}}), "[model] in a.toml has no key 'rats'; did you mean 'rate'?");
  EXPECT_EQ(
      error_of({{"zzzzzzz", 0.5}}),
      "[model] in a.toml has no key 'zzzzzzz'; its keys are path, rate, steps, fast, mode, sizes, weights, names");
  EXPECT_EQ(error_of({{"rate", 1.5}}), "'rate' in [model] in a.toml must be between 0 and 1, not 1.5");
  EXPECT_EQ(error_of({{"rate", std::nan("")}}), "'rate' in [model] in a.toml must be a finite number, not nan");
  EXPECT_EQ(error_of({{"weights", std::vector<double>{1.0, HUGE_VAL}}}),
            "'weights' in [model] in a.toml holds an element that must be a finite number, not inf");
  EXPECT_EQ(error_of({{"steps", std::int64_t{0}}}), "'steps' in [model] in a.toml must be at least 1, not 0");
  EXPECT_EQ(error_of({{"sizes", std::vector<std::int64_t>{1, 9}}}),
            "'sizes' in [model] in a.toml holds an element that must be between 1 and 8, not 9");
  EXPECT_EQ(error_of({{"fast", std::string{"yes"}}}),
            "'fast' in [model] in a.toml must be true or false, not the string \"yes\"");
  EXPECT_EQ(
      error_of({{"mode", std::string{"medain"}}}),
      "'mode' in [model] in a.toml must be one of \"mean\", \"median\", not \"medain\"; did you mean \"median\"?");
}

TEST(Options, ARequiredOptionMustBeGiven) {
  try {
    Options{table, {}, "[model] in a.toml"};
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "[model] in a.toml needs 'path': a directory");
    EXPECT_EQ(error.key, "path");
    EXPECT_EQ(error.where, "[model] in a.toml");
  }
}

TEST(Options, AskingForWhatIsNotThereIsTheProgrammersError) {
  const Options options = make({});
  EXPECT_THROW(options.get<double>("steps"), std::logic_error);
  EXPECT_THROW(options.get<double>("nothing"), std::logic_error);
  EXPECT_THROW(options.get<std::vector<double>>("weights"), std::logic_error);
}

TEST(Options, ABrokenTableIsTheProgrammersError) {
  constexpr std::array bad_default{OptionSpec{"a", OptionType::integer, "one", "help"}};
  constexpr std::array twice{OptionSpec{"a", OptionType::integer, "1", "help"},
                             OptionSpec{"a", OptionType::integer, "1", "help"}};
  EXPECT_THROW(Options(bad_default, {}, "x"), std::logic_error);
  EXPECT_THROW(Options(twice, {}, "x"), std::logic_error);
}

TEST(Nearest, FindsTypingErrorsOnly) {
  const std::vector<std::string> words{"batch_size", "beta1", "beta2", "momentum", "mu"};
  EXPECT_EQ(nearest("batchsize", words), "batch_size");
  EXPECT_EQ(nearest("Batch_Size", words), "batch_size");
  EXPECT_EQ(nearest("abtch_size", words), "batch_size");  // a swap counts once
  EXPECT_EQ(nearest("beta3", words), "beta1");            // the first of equals
  EXPECT_EQ(nearest("momentun", words), "momentum");
  EXPECT_EQ(nearest("rounds", words), "");
  EXPECT_EQ(nearest("xy", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest("a", std::vector<std::string>{"b"}), "");
}

}  // namespace
}  // namespace fedmpi
