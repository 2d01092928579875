#include "terminal.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(Terminal, LineTakesTheProgressAwayAndPutsItBackBelow) {
  testing::internal::CaptureStderr();
  terminal::print_line("before");
  terminal::draw_progress("[##..]");
  terminal::print_line("between");
  terminal::draw_progress("[####]");
  terminal::end_progress();
  terminal::end_progress();
  terminal::print_line("after");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "before\n\r\033[K[##..]\r\033[Kbetween\n[##..]\r\033[K[####]\nafter\n");
}

}  // namespace
}  // namespace fedmpi
