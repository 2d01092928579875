#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/strategy.hpp"

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// How a round's updates are put together in slices of coordinates. In each turn every rank gets one slice of all
// updates: rank r's share of turn t is slice t * num_ranks + r. Slices and the blocks they are worked on in are the
// same whatever the number of ranks, and so are all results. No communication.
class FEDMPI_API Slices {
 public:
  // `clients`: [rank], those that a rank has updates of, in the order of its UpdateSpool. `size`: of an update.
  Slices(std::span<const std::vector<std::int64_t>> clients, std::int64_t size);

  std::int64_t num_turns() const;
  std::int64_t num_updates() const { return static_cast<std::int64_t>(order_.size()); }
  std::int64_t num_updates(int rank) const { return num_updates_[static_cast<std::size_t>(rank)]; }

  // A rank's share of a turn, [begin, begin + length) in elements; its length may be 0.
  struct Share {
    std::int64_t begin = 0, length = 0;
  };
  Share share(std::int64_t turn, int rank) const;

  // `received`: float32 [num_updates, length], rank by rank as they sent it.
  // The inner products of the updates (in ascending client order) and `server_vectors` [k, length] after them, float64
  // [num_updates + k, the same].
  at::Tensor products(const at::Tensor& received, const at::Tensor& server_vectors) const;
  // Strategy::aggregate_slice of each block; global [length] and server_vectors [k, length] are in and out.
  void aggregate(const Strategy& strategy, const FitRound& round, const at::Tensor& received, at::Tensor global,
                 at::Tensor server_vectors) const;

 private:
  // The coordinates from `begin` on into `rows`, float32 or float64 [num_updates, their number], ascending by client.
  void copy_block(const at::Tensor& received, std::int64_t begin, at::Tensor rows) const;

  std::int64_t size_;
  std::int64_t slice_length_ = 0;          // by the number of updates alone
  std::vector<std::int64_t> num_updates_;  // [rank]
  std::vector<std::int64_t> order_;        // row of `received` of each client, ascending by client
};

}  // namespace fedmpi
