#include "fedmpi/transport.hpp"

#include "mpi_tests.hpp"
#include "nccl_transport.hpp"

#include <cstdlib>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

constexpr double join_seconds = 20.0;

class TransportTest : public testing::Test {
 protected:
  void TearDown() override {
    world.drop_transport();
    ::unsetenv("FEDMPI_STAND_IN");
    ::unsetenv("FEDMPI_STAND_IN_RANK");
  }

  void set(double seconds = join_seconds) {
    world.set_transport(std::make_shared<NcclTransport>(make_nccl_calls()), at::kCPU, seconds);
  }

  // What every rank's set() ends with.
  std::string error_of_set(const char* fault, const char* rank, double seconds = join_seconds) {
    ::setenv("FEDMPI_STAND_IN", fault, 1);
    if (rank != nullptr) ::setenv("FEDMPI_STAND_IN_RANK", rank, 1);
    try {
      set(seconds);
    } catch (const AgreedError& error) {
      return (error.is_user_error ? "user: " : "") + std::string(error.what());
    }
    return "no error";
  }

  Communicator& world = test_communicator();
};

TEST_F(TransportTest, CarriesParametersAndExactSums) {
  set();
  const std::int64_t ranks = world.size(), own = world.rank() + 1;
  for (const std::int64_t size : {1, 1000, 3'000'001}) {
    const at::Tensor parameters = world.is_server() ? at::arange(size, at::kFloat) : at::zeros({size});
    world.broadcast(parameters);
    EXPECT_TRUE(at::equal(parameters, at::arange(size, at::kFloat)));
    constexpr std::int64_t large = std::int64_t{1} << 58;
    const at::Tensor sum = at::full({size}, large + own, at::kLong);
    world.reduce_sum(sum);
    const std::int64_t all = ranks * large + ranks * (ranks + 1) / 2;
    EXPECT_TRUE(at::equal(sum, at::full_like(sum, world.is_server() ? all : large + own)));
  }
  std::string text = world.is_server() ? "what MPI carries" : "";
  world.broadcast(text);
  EXPECT_EQ(text, "what MPI carries");
}

TEST_F(TransportTest, CanBeSetAgainAndTakenAway) {
  for (int turn = 0; turn < 3; ++turn) {
    set();
    const at::Tensor parameters = at::full({10}, world.is_server() ? turn : -1, at::kFloat);
    world.broadcast(parameters);
    EXPECT_TRUE(at::equal(parameters, at::full({10}, turn, at::kFloat)));
  }
  world.set_transport(nullptr, at::kCPU, join_seconds);
  const at::Tensor parameters = at::full({10}, world.is_server() ? 7 : -1, at::kFloat);
  world.broadcast(parameters);
  EXPECT_TRUE(at::equal(parameters, at::full({10}, 7, at::kFloat)));
}

TEST_F(TransportTest, TwoRanksOnOneGpuAreToldSo) {
  const std::string error = error_of_set("same_gpu", nullptr);
  EXPECT_TRUE(
      world.size() == 1
          ? error == "no error"
          : error.starts_with("user: ranks 0 and 1 would both use GPU 0, and this transport takes one for each"))
      << error;
}

TEST_F(TransportTest, ARankWithoutAGpuStopsAll) {
  EXPECT_EQ(error_of_set("no_gpu", "0"), "user: the stand-in was told to find no GPU");
}

TEST_F(TransportTest, ARankThatDoesNotComeIsNotWaitedForForEver) {
  const std::string error = error_of_set("never_joins", "0", 0.2);
  EXPECT_TRUE(world.size() == 1 ? error == "no error" : error.starts_with("NCCL: not all")) << error;
}

}  // namespace
}  // namespace fedmpi
