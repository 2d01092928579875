// googletest under MPI: rank 0 prints, the others print only failures, and the exit status is everybody's worst.
#include "mpi_tests.hpp"

#include <cstdio>
#include <memory>

#include <gtest/gtest.h>
#include <mpi.h>

namespace {

std::unique_ptr<fedmpi::Communicator> world;

class FailuresOnly final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed())
      std::fprintf(stderr, "rank %d: %s:%d: %s\n", world->rank(), result.file_name(), result.line_number(),
                   result.message());
  }
};

}  // namespace

fedmpi::Communicator& fedmpi::test_communicator() {
  return *world;
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  fedmpi::MpiSession session(argc, argv);
  world = std::make_unique<fedmpi::Communicator>(session);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world->rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly);
  }
  int result = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &result, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  world.reset();
  return result;
}
