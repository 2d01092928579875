#include "fedmpi/layout.hpp"

#include <stdexcept>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

Layout example() {
  return Layout({{.name = "frozen", .shape = {5}, .role = TensorRole::frozen},
                 {.name = "weight", .shape = {3, 7}},
                 {.name = "head", .shape = {2}, .learning_rate = 0.5, .kind = TensorKind::head},
                 {.name = "personal", .shape = {17}, .role = TensorRole::local}});
}

// As a network with one batch norm gives it, norms in the middle.
Layout with_statistics() {
  return Layout(
      {{.name = "first", .shape = {20}},
       {.name = "norm.weight", .shape = {4}, .kind = TensorKind::normalization},
       {.name = "norm.running_mean", .shape = {4}, .role = TensorRole::statistic, .kind = TensorKind::normalization},
       {.name = "last", .shape = {3, 6}, .kind = TensorKind::head}});
}

TensorRole norms_local(const TensorSpec& spec) {
  return spec.kind == TensorKind::normalization ? TensorRole::local : spec.role;
}

TEST(Layout, PlacesByRoleAtMultiplesOfSixteenAndKeepsIndices) {
  const Layout layout = example();
  EXPECT_EQ(layout.spec(0).name, "frozen");
  EXPECT_EQ(layout.offset(0), 80);
  EXPECT_EQ(layout.offset(1), 0);
  EXPECT_EQ(layout.offset(2), 32);
  EXPECT_EQ(layout.offset(3), 48);
  EXPECT_EQ(layout.shared_parameters_size(), 48);
  EXPECT_EQ(layout.shared_size(), 48);
  EXPECT_EQ(layout.trainable_size(), 80);
  EXPECT_EQ(layout.size(), 96);
  EXPECT_EQ(std::vector<std::size_t>(layout.order().begin(), layout.order().end()),
            (std::vector<std::size_t>{1, 2, 3, 0}));
}

TEST(Layout, StatisticsTravelBehindTheSharedParameters) {
  const Layout layout = with_statistics();
  EXPECT_EQ(layout.offset(0), 0);
  EXPECT_EQ(layout.offset(1), 32);
  EXPECT_EQ(layout.offset(3), 48);
  EXPECT_EQ(layout.offset(2), 80);
  EXPECT_EQ(layout.shared_parameters_size(), 80);
  EXPECT_EQ(layout.shared_size(), 96);
  EXPECT_EQ(layout.trainable_size(), 96);
  EXPECT_EQ(layout.size(), 96);
  EXPECT_FALSE(layout.has_gradient(2));
  EXPECT_FALSE(layout.gradient_view(at::zeros({96}), 2).defined());
  EXPECT_EQ(layout.gradient_view(at::zeros({96}), 3).sizes(), (std::vector<std::int64_t>{3, 6}));
}

TEST(Layout, OtherRolesMoveTensorsAndLeaveTheirIndices) {
  const Layout layout = with_statistics().with_roles(norms_local);
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    EXPECT_EQ(layout.spec(i).name, with_statistics().spec(i).name);
    EXPECT_EQ(layout.spec(i).kind, with_statistics().spec(i).kind);
  }
  EXPECT_EQ(layout.spec(1).role, TensorRole::local);
  EXPECT_EQ(layout.spec(2).role, TensorRole::local_statistic);
  EXPECT_EQ(layout.offset(3), 32);
  EXPECT_EQ(layout.offset(1), 64);
  EXPECT_EQ(layout.offset(2), 80);
  EXPECT_EQ(layout.shared_parameters_size(), 64);
  EXPECT_EQ(layout.shared_size(), 64);
  EXPECT_EQ(layout.trainable_size(), 96);
  const Layout back = layout.with_roles([](const TensorSpec&) { return TensorRole::shared; });
  for (std::size_t i = 0; i < back.num_tensors(); ++i) {
    EXPECT_EQ(back.offset(i), with_statistics().offset(i));
    EXPECT_EQ(back.spec(i).role, with_statistics().spec(i).role);
  }
}

TEST(Layout, AHeadAloneIsTrainedWhereTheRestIsFrozen) {
  const Layout layout = with_statistics().with_roles(
      [](const TensorSpec& spec) { return spec.kind == TensorKind::head ? spec.role : TensorRole::frozen; });
  EXPECT_EQ(layout.offset(3), 0);
  EXPECT_EQ(layout.shared_size(), 32);
  EXPECT_EQ(layout.trainable_size(), 32);
  EXPECT_EQ(layout.size(), 96);
  ASSERT_EQ(layout.runs().size(), 1U);
  EXPECT_EQ(layout.runs()[0].end, 32);
}

TEST(Layout, AParameterDoesNotBecomeAStatistic) {
  EXPECT_THROW(example().with_roles([](const TensorSpec&) { return TensorRole::statistic; }), std::logic_error);
}

TEST(Layout, ViewsAliasTheBuffer) {
  const Layout layout = example();
  const at::Tensor buffer = at::zeros({layout.size()});
  layout.view(buffer, 1).fill_(1.0);
  EXPECT_EQ(buffer.sum().item<float>(), 21.0F);
  EXPECT_EQ(buffer[0].item<float>(), 1.0F);
  EXPECT_EQ(layout.view(buffer, 1).sizes(), (std::vector<std::int64_t>{3, 7}));
}

TEST(Layout, RunsJoinNeighboursWithOneLearningRate) {
  const auto runs = example().runs();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].end, 32);
  EXPECT_EQ(runs[1].learning_rate, 0.5);
  EXPECT_EQ(runs[2].begin, 48);
  EXPECT_EQ(runs[2].end, 80);
}

TEST(Layout, RunsLeaveStatisticsOut) {
  const Layout layout = Layout({{.name = "mean", .shape = {4}, .role = TensorRole::statistic},
                                {.name = "shared", .shape = {30}},
                                {.name = "own", .shape = {2}, .role = TensorRole::local},
                                {.name = "own_mean", .shape = {2}, .role = TensorRole::local_statistic}});
  const auto runs = layout.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].begin, 0);
  EXPECT_EQ(runs[0].end, 32);
  EXPECT_EQ(runs[1].begin, 48);
  EXPECT_EQ(runs[1].end, 64);
  EXPECT_EQ(layout.trainable_size(), 80);
}

TEST(Layout, RefusesTwoTensorsOfOneName) {
  EXPECT_THROW(Layout({{.name = "a", .shape = {1}}, {.name = "a", .shape = {2}}}), std::logic_error);
}

}  // namespace
}  // namespace fedmpi
