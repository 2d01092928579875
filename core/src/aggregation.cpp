#include "aggregation.hpp"

#include "fedmpi/one_thread.hpp"
#include "slices.hpp"

#include <exception>
#include <string>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

// Whose updates a rank has, of all ranks.
std::vector<std::vector<std::int64_t>> gather_clients(Communicator& communicator, std::span<const FitRecord> own) {
  std::string bytes;
  for (const FitRecord& record : own) bytes.append(reinterpret_cast<const char*>(&record.client), sizeof record.client);
  std::vector<std::vector<std::int64_t>> clients;
  for (const std::string& part : communicator.all_gather(bytes)) {
    clients.emplace_back(part.size() / sizeof(std::int64_t));
    part.copy(reinterpret_cast<char*>(clients.back().data()), part.size());
  }
  return clients;
}

// This rank's share of a turn of all updates, float32 [num_updates, length], rank by rank.
at::Tensor exchange(Communicator& communicator, const Slices& slices, const UpdateSpool& spool, std::int64_t turn) {
  std::vector<int> send_counts, receive_counts;
  std::int64_t total = 0;
  const std::int64_t own_length = slices.share(turn, communicator.rank()).length;
  for (int rank = 0; rank < communicator.size(); ++rank) {
    const std::int64_t count = spool.num_updates() * slices.share(turn, rank).length;
    send_counts.push_back(static_cast<int>(count));
    receive_counts.push_back(static_cast<int>(slices.num_updates(rank) * own_length));
    total += count;
  }
  const at::Tensor send = at::empty({total}, at::kFloat);
  float* to = send.data_ptr<float>();
  for (int rank = 0; rank < communicator.size(); ++rank) {
    const Slices::Share share = slices.share(turn, rank);
    for (std::int64_t update = 0; update < spool.num_updates(); ++update, to += share.length)
      spool.read(update, share.begin, share.length, to);
  }
  at::Tensor received = at::empty({slices.num_updates(), own_length}, at::kFloat);
  communicator.exchange(send, send_counts, received, receive_counts);
  return received;
}

// The inner products of all updates and server vectors, on every rank.
at::Tensor all_products(Communicator& communicator, const Slices& slices, const UpdateSpool& spool,
                        const at::Tensor& server_vectors) {
  const std::int64_t n = slices.num_updates() + server_vectors.size(0);
  at::Tensor sum = at::zeros({n, n}, at::kDouble);
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn) {
    const Slices::Share share = slices.share(turn, communicator.rank());
    const at::Tensor received = exchange(communicator, slices, spool, turn);
    const at::Tensor own = slices.products(received, server_vectors.narrow(1, share.begin, share.length));
    // In the order of the slices, which is that of the ranks.
    for (std::string& part : communicator.all_gather(
             std::string(static_cast<const char*>(own.const_data_ptr()), static_cast<std::size_t>(own.nbytes()))))
      sum.add_(at::from_blob(part.data(), {n, n}, at::kDouble));
  }
  return sum;
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
  const Slices slices(gather_clients(communicator, own), global.numel());
  if (strategy.exchange().products) {
    const at::Tensor products = all_products(communicator, slices, spool, server_vectors);
    agree(communicator, [&] {
      const OneThread one_thread;
      strategy.compare(products, round);
    });
  }
  at::Tensor next = at::empty({communicator.is_server() ? 1 + server_vectors.size(0) : 0, global.numel()}, at::kFloat);
  std::exception_ptr failure;
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn) {
    const at::Tensor received = exchange(communicator, slices, spool, turn);
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
