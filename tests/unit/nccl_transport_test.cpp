#include "nccl_transport.hpp"

#include "fedmpi/error.hpp"

#include <deque>
#include <functional>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using State = NcclCalls::State;

// Does what it is told, and writes down what it was asked.
struct Script {
  std::deque<State> states;  // the last one for ever
  std::string asked;
  bool refuses = false;  // to start a broadcast
};

class ScriptedCalls final : public NcclCalls {
 public:
  explicit ScriptedCalls(Script& script) : script_{script} {}
  std::string open(at::Device) override { return "a GPU"; }
  std::string unique_id() override { return "an id"; }
  void start_join(const std::string& id, int rank, int size) override {
    script_.asked += fmt::format("join({}, {}, {}) ", id, rank, size);
  }
  void start_broadcast(at::Tensor) override {
    script_.asked += "broadcast ";
    if (script_.refuses) throw Error("the communicator is broken");
  }
  void start_reduce_sum(at::Tensor) override { script_.asked += "reduce "; }
  State state() override {
    const State state = script_.states.front();
    if (script_.states.size() > 1) script_.states.pop_front();
    return state;
  }
  std::string failure() override { return "a cable was pulled"; }
  void abort() noexcept override { script_.asked += "abort "; }

 private:
  Script& script_;
};

struct Lost {};  // as Communicator's watch throws it: no exception of the standard

const Transport::Watch nothing = [] {};

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(NcclTransport, WaitsUntilWhatItStartedIsDone) {
  Script script{.states = {State::in_progress, State::in_progress, State::done}};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  EXPECT_EQ(transport.open(at::kCPU), "a GPU");
  transport.join(transport.invitation(), 2, 5, 60.0, nothing);
  EXPECT_EQ(script.states.size(), 1u);
  script.states = {State::in_progress, State::done};
  transport.broadcast(at::zeros({3}), nothing);
  EXPECT_EQ(script.states.size(), 1u);
  script.states = {State::in_progress, State::done};
  transport.reduce_sum(at::zeros({3}, at::kLong), nothing);
  EXPECT_EQ(script.states.size(), 1u);
  EXPECT_EQ(script.asked, "join(an id, 2, 5) broadcast reduce ");
}

TEST(NcclTransport, RanksThatDoNotComeAreNotWaitedForForEver) {
  Script script{.states = {State::in_progress}};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  int watched = 0;
  const std::string error = error_of([&] { transport.join("an id", 0, 3, 0.05, [&] { ++watched; }); });
  EXPECT_NE(error.find("not all 3 ranks came together within 0.05 s"), std::string::npos) << error;
  EXPECT_NE(error.find("federation.transport_join_seconds"), std::string::npos) << error;
  EXPECT_GT(watched, 1);
  EXPECT_EQ(script.asked, "join(an id, 0, 3) abort ");
}

TEST(NcclTransport, WhatTheWatchThrowsEndsTheWaitAndTheCommunicator) {
  Script script{.states = {State::in_progress}};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  EXPECT_THROW(transport.reduce_sum(at::zeros({3}, at::kLong), [] { throw Lost{}; }), Lost);
  EXPECT_EQ(script.asked, "reduce abort ");
  EXPECT_THROW(transport.join("an id", 0, 3, 60.0, [] { throw Lost{}; }), Lost);
}

// MPI notices a death a moment after a connection broke: then it is a loss, which others can go on from.
TEST(NcclTransport, AFailureIsALossWhereTheWatchSaysSoALittleLater) {
  Script script{.states = {State::in_progress, State::failed}};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  int watched = 0;
  EXPECT_THROW(transport.broadcast(at::zeros({3}),
                                   [&] {
                                     if (++watched == 20) throw Lost{};
                                   }),
               Lost);
  EXPECT_EQ(script.asked, "broadcast abort ");
}

// A connection that broke while ranks were training is told by the next call.
TEST(NcclTransport, ACallThatIsRefusedIsAFailureLikeAnyOther) {
  Script script{.states = {State::done}, .asked = "", .refuses = true};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  EXPECT_EQ(error_of([&] { transport.broadcast(at::zeros({3}), nothing); }),
            "NCCL could not broadcast: the communicator is broken");
  EXPECT_EQ(script.asked, "broadcast abort ");
  EXPECT_THROW(transport.broadcast(at::zeros({3}), [] { throw Lost{}; }), Lost);
}

TEST(NcclTransport, AFailureOfItsOwnSaysWhatTheLibrarySays) {
  Script script{.states = {State::failed}};
  NcclTransport transport(std::make_unique<ScriptedCalls>(script));
  EXPECT_EQ(error_of([&] { transport.broadcast(at::zeros({3}), nothing); }),
            "NCCL could not broadcast: a cable was pulled");
  EXPECT_EQ(script.asked, "broadcast abort ");
}

}  // namespace
}  // namespace fedmpi
