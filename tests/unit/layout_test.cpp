#include "fedmpi/layout.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

Layout example() {
  return Layout({{.name = "frozen", .shape = {5}, .role = TensorRole::frozen},
                 {.name = "weight", .shape = {3, 7}},
                 {.name = "head", .shape = {2}, .learning_rate = 0.5},
                 {.name = "personal", .shape = {17}, .role = TensorRole::local}});
}

TEST(Layout, PlacesByRoleAtMultiplesOfSixteen) {
  const Layout layout = example();
  EXPECT_EQ(layout.spec(0).name, "weight");
  EXPECT_EQ(layout.offset(1), 32);
  EXPECT_EQ(layout.offset(2), 48);
  EXPECT_EQ(layout.offset(3), 80);
  EXPECT_EQ(layout.shared_size(), 48);
  EXPECT_EQ(layout.trainable_size(), 80);
  EXPECT_EQ(layout.size(), 96);
}

TEST(Layout, ViewsAliasTheBuffer) {
  const Layout layout = example();
  const at::Tensor buffer = at::zeros({layout.size()});
  layout.view(buffer, 0).fill_(1.0);
  EXPECT_EQ(buffer.sum().item<float>(), 21.0F);
  EXPECT_EQ(layout.view(buffer, 0).sizes(), (std::vector<std::int64_t>{3, 7}));
}

TEST(Layout, RunsJoinNeighboursWithOneLearningRate) {
  const auto runs = example().runs();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].end, 32);
  EXPECT_EQ(runs[1].learning_rate, 0.5);
  EXPECT_EQ(runs[2].begin, 48);
  EXPECT_EQ(runs[2].end, 80);
}

TEST(Layout, RefusesTwoTensorsOfOneName) {
  EXPECT_THROW(Layout({{.name = "a", .shape = {1}}, {.name = "a", .shape = {2}}}), std::logic_error);
}

}  // namespace
}  // namespace fedmpi
