#pragma once

#include "fedmpi/communicator.hpp"

namespace fedmpi {

// All ranks of the test. Between two collectives use EXPECT_, never ASSERT_: a rank that leaves early lets the
// others wait.
Communicator& test_communicator();

}  // namespace fedmpi
