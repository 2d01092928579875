#include "fedmpi/quantity_text.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(QuantityText, BytesAreInPowersOfThousand) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(999'960), "1.0 MB");
  EXPECT_EQ(bytes_text(87'300'000), "87.3 MB");
  EXPECT_EQ(bytes_text(803'900'000), "804 MB");
  EXPECT_EQ(bytes_text(5'000'000'000), "5.0 GB");
  EXPECT_EQ(bytes_text(7'000'000'000'000'000'000), "7000 PB");
}

TEST(QuantityText, SecondsAreInTheUnitThatFits) {
  EXPECT_EQ(seconds_text(0.0), "0 s");
  EXPECT_EQ(seconds_text(0.00012), "120 µs");
  EXPECT_EQ(seconds_text(0.0051), "5.1 ms");
  EXPECT_EQ(seconds_text(0.1251), "125 ms");
  EXPECT_EQ(seconds_text(2.5), "2.50 s");
  EXPECT_EQ(seconds_text(9.996), "10.0 s");
  EXPECT_EQ(seconds_text(46.53), "46.5 s");
  EXPECT_EQ(seconds_text(176), "2 min 56 s");
  EXPECT_EQ(seconds_text(3 * 3600 + 5 * 60), "3 h 05 min");
  EXPECT_EQ(seconds_text(98 * 3600 + 600), "4 days 02 h");
}

}  // namespace
}  // namespace fedmpi
