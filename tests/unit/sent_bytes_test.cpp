#include "sent_bytes.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// Of three ranks' all_gather, what a host sends goes to the server and from there to two, the server's own to two.
constexpr double one_vote = 2 + 2 * 3, three_states = 24 * one_vote, two_records = 2 * 72 * 3;

RoundWork of_two_clients() {
  return {.client_costs = {30, 10}, .client_steps = {3, 1}, .block_costs = {20, 40, 10}};
}

Cluster three_ranks(int nodes = 1) {
  return deal_out(3, nodes, 4, 1);
}

TEST(SentBytes, OneRankSendsNothing) {
  EXPECT_EQ(sent_bytes(of_two_clients(), {.shared_bytes = 1000, .label_count_bytes = 10}, 0, 1.0, deal_out(1, 1, 4, 1)),
            0.0);
}

TEST(SentBytes, OfSums) {
  const double without = two_records + three_states + 2 * one_vote + 2 * 1000 + 2 * 2000;
  const JobWork work{.shared_bytes = 1000, .sum_bytes = 2000, .label_count_bytes = 136};
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, three_ranks()), without);
  // The server has the result of one block of three.
  const double evaluation = one_vote + 2 * 32 + 2 * 3 * 32 + 2 * 136;
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 1.0, three_ranks()), without + evaluation);
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.25, three_ranks()), without + evaluation / 4);
  JobWork keeping = work;
  keeping.kept_bytes = 44;
  EXPECT_EQ(sent_bytes(of_two_clients(), keeping, 0, 0.0, three_ranks()), without + 2 * 44 * 3);
}

TEST(SentBytes, WhatRanksShareIsNotSentWithinANode) {
  constexpr double small = two_records + three_states + 2 * one_vote;
  // The parameters are large enough for that, the server's vectors and the sum are not.
  const JobWork work{.shared_bytes = 2'500'000, .vector_bytes = 1'000'000, .sum_bytes = 1'000'000};
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, three_ranks()), small + 2 * 2e6);
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, three_ranks(2)), small + 2 * 2e6 + 1'500'000);
  Cluster apart = three_ranks();
  apart.shares_memory = false;
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, apart), small + 2 * 3'500'000);
}

// Ten coordinates are one slice, which the server gets: two updates, and at first two more for their products.
TEST(SentBytes, OfOneSlice) {
  const JobWork work{.shared_bytes = 40, .update_bytes = 40};
  const double without = two_records + three_states + 2 * one_vote + 2 * 40 + 2 * 8 * 3 + one_vote;
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, three_ranks()), without + 2 * 40);
  const double products = 2 * 40 + 2 * 2 * (2 * 2 * 8), choices = 8 * one_vote + 2 * one_vote;
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 1, 0.0, three_ranks()), without + products + choices + 40);
}

// Of 2^16 + 100 coordinates the server gets 2^16 of both updates, and one host 100 of that of the other. That host's
// aggregate goes to the server, with what becomes of the server's vector.
TEST(SentBytes, OfTwoSlices) {
  constexpr std::int64_t size = (1 << 16) + 100;
  const JobWork work{.shared_bytes = 8 * size, .vector_bytes = 4 * size, .update_bytes = 4 * size};
  const double without = two_records + three_states + 2 * one_vote + 2 * 8 * size + 2 * 8 * 3 + one_vote;
  EXPECT_EQ(sent_bytes(of_two_clients(), work, 0, 0.0, three_ranks()),
            without + 4 * (2 * (1 << 16) + 100) + 2 * 4 * 100);
}

}  // namespace
}  // namespace fedmpi
