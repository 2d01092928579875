#include "aggregation.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/rows.hpp"
#include "slices.hpp"

#include <algorithm>
#include <exception>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

// Some updates of a round.
struct Updates {
  std::vector<std::vector<std::int64_t>> clients;  // whose, rank by rank
  std::vector<std::int64_t> rows;                  // where this rank's are in its spool
};

Updates all_updates(Communicator& communicator, std::span<const FitRecord> own) {
  Updates all{.clients = {}, .rows = all_rows(std::ssize(own))};
  std::string bytes;
  for (const FitRecord& record : own) bytes.append(reinterpret_cast<const char*>(&record.client), sizeof record.client);
  for (const std::string& part : communicator.all_gather(bytes)) {
    all.clients.emplace_back(part.size() / sizeof(std::int64_t));
    part.copy(reinterpret_cast<char*>(all.clients.back().data()), part.size());
  }
  return all;
}

// Those of `all` that are the round's records `chosen`.
Updates choose(const Updates& all, int rank, std::span<const std::int64_t> chosen, const FitRound& round) {
  std::set<std::int64_t> wanted;
  for (const std::int64_t record : chosen) {
    if (record < 0 || record >= std::ssize(round.records))
      throw Error(fmt::format("the strategy wants update {} of {}", record, round.records.size()));
    wanted.insert(round.records[static_cast<std::size_t>(record)].client);
  }
  if (wanted.empty()) throw Error("the strategy wants none of the updates that it compared");
  Updates some{.clients = all.clients, .rows = {}};
  const auto& own = all.clients[static_cast<std::size_t>(rank)];
  for (std::size_t i = 0; i < own.size(); ++i)
    if (wanted.contains(own[i])) some.rows.push_back(all.rows[i]);
  for (auto& clients : some.clients)
    std::erase_if(clients, [&](std::int64_t client) { return !wanted.contains(client); });
  return some;
}

// Brings every rank, turn by turn, its share of some updates.
class SliceExchange {
 public:
  // `rows`: where this rank's are in its spool.
  SliceExchange(Communicator& communicator, const Slices& slices, const UpdateSpool& spool,
                std::span<const std::int64_t> rows)
      : communicator_{communicator}, slices_{slices}, spool_{spool}, rows_{rows} {}

  // float32 [number of updates, length], rank by rank; until the next turn.
  at::Tensor turn(std::int64_t turn) {
    std::vector<int> send_counts, receive_counts;
    std::int64_t total = 0;
    const std::int64_t own_length = slices_.share(turn, communicator_.rank()).length;
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      const std::int64_t count = std::ssize(rows_) * slices_.share(turn, rank).length;
      send_counts.push_back(static_cast<int>(count));
      receive_counts.push_back(static_cast<int>(slices_.num_updates(rank) * own_length));
      total += count;
    }
    const at::Tensor send = first_of(send_, total);
    float* to = send.data_ptr<float>();
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      const Slices::Share share = slices_.share(turn, rank);
      for (const std::int64_t row : rows_) {
        spool_.read(row, share.begin, share.length, to);
        to += share.length;
      }
    }
    const at::Tensor received = first_of(received_, slices_.num_updates() * own_length);
    communicator_.exchange(send, send_counts, received, receive_counts);
    return received.view({slices_.num_updates(), own_length});
  }

 private:
  // New buffers every turn would cost as much in page faults as the copying itself. No turn is larger than the first.
  static at::Tensor first_of(at::Tensor& buffer, std::int64_t size) {
    if (!buffer.defined()) buffer = at::empty({size}, at::kFloat);
    return buffer.narrow(0, 0, size);
  }

  Communicator& communicator_;
  const Slices& slices_;
  const UpdateSpool& spool_;
  std::span<const std::int64_t> rows_;
  at::Tensor send_, received_;
};

// The inner products of all updates and server vectors, on every rank.
at::Tensor all_products(Communicator& communicator, const Updates& updates, const UpdateSpool& spool,
                        const at::Tensor& server_vectors) {
  const Slices slices(updates.clients, server_vectors.size(1));
  const std::int64_t n = slices.num_updates() + server_vectors.size(0);
  SliceExchange exchange(communicator, slices, spool, updates.rows);
  at::Tensor sum = at::zeros({n * n}, at::kDouble);
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn) {
    const Slices::Share share = slices.share(turn, communicator.rank());
    const at::Tensor own = slices.products(exchange.turn(turn), server_vectors.narrow(1, share.begin, share.length));
    communicator.add_in_order(own.view(-1), sum);  // the order of the slices
  }
  communicator.broadcast(sum);
  return sum.view({n, n});
}

// Every rank's part of a turn to its place in `next` on the server.
void collect(Communicator& communicator, const Slices& slices, std::int64_t turn, const at::Tensor& own,
             at::Tensor next) {
  std::vector<at::Tensor> parts;
  if (communicator.is_server())
    for (int rank = 0; rank < communicator.size(); ++rank)
      parts.push_back(at::empty({own.size(0), slices.share(turn, rank).length}, at::kFloat));
  communicator.gather(own, parts);
  for (std::size_t rank = 0; rank < parts.size(); ++rank) {
    const Slices::Share share = slices.share(turn, static_cast<int>(rank));
    next.narrow(1, share.begin, share.length).copy_(parts[rank]);
  }
}

}  // namespace

at::Tensor aggregate_slices(Communicator& communicator, Strategy& strategy, const FitRound& round,
                            std::span<const FitRecord> own, const UpdateSpool& spool, const at::Tensor& global,
                            const at::Tensor& server_vectors) {
  Updates updates = all_updates(communicator, own);
  if (strategy.exchange().products) {
    const at::Tensor products = all_products(communicator, updates, spool, server_vectors);
    std::vector<std::int64_t> chosen;
    agree(communicator, [&] {
      const OneThread one_thread;
      chosen = strategy.compare(products, round);
    });
    // Ranks that send what others do not wait for would hang.
    const auto choices = communicator.all_gather(
        std::string(reinterpret_cast<const char*>(chosen.data()), chosen.size() * sizeof(std::int64_t)));
    agree(communicator, [&] {
      if (std::ranges::any_of(choices, [&](const std::string& other) { return other != choices.front(); }))
        throw Error(
            "the strategy chose other updates on one rank than on another: compare may depend on its arguments "
            "alone");
      updates = choose(updates, communicator.rank(), chosen, round);
    });
  }
  const Slices slices(updates.clients, global.numel());
  at::Tensor next = at::empty({communicator.is_server() ? 1 + server_vectors.size(0) : 0, global.numel()}, at::kFloat);
  SliceExchange exchange(communicator, slices, spool, updates.rows);
  std::exception_ptr failure;
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn) {
    const at::Tensor received = exchange.turn(turn);
    const Slices::Share share = slices.share(turn, communicator.rank());
    const at::Tensor result = at::cat({global.narrow(0, share.begin, share.length).unsqueeze(0),
                                       server_vectors.narrow(1, share.begin, share.length)});
    try {
      slices.aggregate(strategy, round, received, result[0], result.narrow(0, 1, server_vectors.size(0)));
    } catch (const std::exception&) {
      if (!failure) failure = std::current_exception();  // the others are waiting for this rank's part
    }
    collect(communicator, slices, turn, result, next);
  }
  agree(communicator, [&] {
    if (failure) std::rethrow_exception(failure);
  });
  return next;
}

}  // namespace fedmpi
