#pragma once

#include "fedmpi/error.hpp"
#include "fedmpi/export.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace fedmpi {

class NodeGroup;
class PeerWatch;
class Transport;

// Initialises MPI and finalises it, unless an exception is on its way out or ranks were or may be lost: MPI_Finalize
// could then wait for ever. One in a process, in main.
class FEDMPI_API MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // From now on other ranks' processes on this node are ended once they have been stopped (SIGSTOP) for so long. The
  // node's first rank sees to that until all others have ended. `pids`: of all ranks on this node, in their order; only
  // the first call's count.
  void end_frozen(const std::vector<int>& pids, double seconds);

  // Ends every rank of the job at once. Usable before, while and after MPI is initialised.
  [[noreturn]] static void abort(int status) noexcept;

 private:
  std::unique_ptr<PeerWatch> watch_;
};

// Thrown by collectives when a rank has died and MPI can go on without it (Open MPI under `mpirun --with-ft ulfm`). Not
// an exception of the standard, so that nobody takes it for an error of their own.
struct RankLost {};

// Collectives over all ranks of the job, or over those of one group, apart from all other communicators. Main thread
// only. Every rank must call every function in the same order: only federation.cpp, run_sweep.cpp, protocol*.cpp and
// aggregation.cpp do. Tensors are 1-D, contiguous, on the CPU or, for broadcast and reduce_sum, on any device; dtype
// and length must be the same on all ranks. Errors: Error naming the MPI call, and RankLost.
class FEDMPI_API Communicator {
 public:
  // Made by all ranks of the job together: one communicator for all that give the same group. Watches for frozen ranks,
  // at first with 60 s.
  explicit Communicator(MpiSession& session, int group = 0);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  bool is_server() const noexcept { return rank_ == 0; }
  // Whether `rank` hosts clients: every rank but the server, which does so only when it is alone.
  bool is_host(int rank) const noexcept { return rank != 0 || size_ == 1; }
  // The cores this rank may use, divided among the hosts that share them; at least 1.
  int cores_per_host() const noexcept { return cores_per_host_; }
  // The lowest rank on this rank's node, as they were numbered when the job began.
  int node() const noexcept { return node_; }
  int num_nodes() const;  // that ranks are on now
  // This rank's number among all of the job that are on its node, whatever their group.
  int place_on_node() const noexcept { return place_on_node_; }
  // Whether the ranks of each node can read each other's node memory.
  bool shares_memory() const noexcept { return shares_memory_; }
  // After so many seconds a stopped rank on a node with others is ended; 0: never.
  void set_frozen_rank_seconds(double seconds) { session_.end_frozen({}, seconds); }

  // From now on `transport` carries buffers of float32 and int64 that lie on `device`; none: MPI does, as it does all
  // else. Ranks have `join_seconds` to come together, now and after some were lost. AgreedError when one does not, or
  // when two would use what the transport wants one of for each. Collective.
  void set_transport(std::shared_ptr<Transport> transport, at::Device device, double join_seconds);
  void drop_transport() noexcept;  // on this rank alone: no collective may follow that it would carry

  // What lies in node memory on every rank (zeros_on_node) is not sent within a node, where the system lets its ranks
  // read each other's and it is not small.
  void broadcast(at::Tensor buffer);   // from the server
  void broadcast(std::string& text);   // from the server
  void reduce_sum(at::Tensor buffer);  // int64; the sum on the server, elsewhere unchanged
  // float32, no NaN among them: `counts[r]` elements go to rank r, one after another; [i] from rank i are received.
  void exchange(const at::Tensor& send, std::span<const int> send_counts, at::Tensor receive,
                std::span<const int> receive_counts);
  // float32: every rank's `own` to the server, into parts[rank], of the right length there; elsewhere parts is not
  // used.
  void gather(const at::Tensor& own, std::span<at::Tensor> parts);
  // float64: every rank's `own` is added to `sum` on the server, one after another in rank order; elsewhere sum is not
  // used.
  void add_in_order(const at::Tensor& own, at::Tensor sum);
  std::vector<std::string> all_gather(const std::string& bytes);  // one a rank, in rank order

  // Between two collectives, hosts tell the server how far they are, and any rank may ask all to give up their work. A
  // host calls report() any number of times, and request_stop() when it wants that; where stop_requested() it gives up.
  // Then every rank calls await_reports(). On the server it calls `advance` for each report. It asks `wants_stop` all
  // the time, and sleeps in between instead of taking a core from a host. It returns on every rank once all are there,
  // and says whether anybody asked to stop.
  void report(std::int64_t amount);
  void request_stop();
  bool stop_requested();
  bool await_reports(const std::function<void(std::int64_t)>& advance, const std::function<bool()>& wants_stop);

  // Records of every rank, in rank order.
  template <class Record>
  std::vector<Record> all_gather(std::span<const Record> records) {
    static_assert(std::is_trivially_copyable_v<Record>);
    std::vector<Record> all;
    for (const std::string& bytes :
         all_gather(std::string(reinterpret_cast<const char*>(records.data()), records.size_bytes()))) {
      const std::size_t begin = all.size();
      all.resize(begin + bytes.size() / sizeof(Record));
      bytes.copy(reinterpret_cast<char*>(all.data() + begin), bytes.size());
    }
    return all;
  }

  // What to do about RankLost: revoke(), so that every other rank gets it too; then all that are alive call meet(),
  // which works whatever has failed and gives the bitwise and of all `bits`; then shrink(), which leaves the dead out,
  // renumbers the ranks in their old order and says whether rank 0 is still the same process. A rank about to leave the
  // job calls meet() as well: somebody may still need it.
  void revoke();
  int meet(int bits);
  bool shrink();
  bool loss_noticed() const noexcept { return loss_noticed_; }  // by report() or stop_requested(), which go on

  // How often a buffer in node memory, of so many bytes, is sent by either of these: between ranks, or between nodes.
  static std::int64_t copies_sent(std::int64_t bytes, int ranks, int nodes);

  // Bytes of other ranks' memory that count as resident in this process too.
  std::int64_t mapped_bytes() const noexcept;

  // Bytes this rank has handed to MPI or the transport as payload, for the metrics: what is broadcast once for each
  // rank that it is sent to, however that is done.
  std::int64_t bytes_sent() const noexcept { return bytes_sent_; }

 private:
  struct Handle;
  bool goes_by_transport(const at::Tensor& buffer) const;
  void join_transport();
  Transport& joined_transport();
  std::function<void()> watch() const;
  void leave_transport() noexcept;
  bool goes_by_node(const at::Tensor& buffer) const;
  NodeGroup node_group();
  void tell_hosts(std::int64_t word);
  bool receive_word(int from, int tag, std::int64_t& word);  // false, after a moment's sleep, when there is none
  bool await_hosts(const std::function<void(std::int64_t)>& advance, const std::function<bool()>& wants_stop);
  bool await_server(const std::function<bool()>& wants_stop);

  MpiSession& session_;
  std::unique_ptr<Handle> handle_;
  int rank_ = 0;
  int size_ = 1;
  int cores_per_host_ = 1;
  int node_ = 0;
  int place_on_node_ = 0;
  std::vector<int> nodes_;  // of each rank
  bool shares_memory_ = false;
  bool stop_ = false;  // asked for since the last await_reports
  bool loss_noticed_ = false;
  std::int64_t bytes_sent_ = 0;
};

// An error that every rank throws together, after a vote. No rank is waiting for another: MPI can be finalised.
class FEDMPI_API AgreedError : public Error {
 public:
  AgreedError(const std::string& message, bool is_user_error);
  ~AgreedError() override;
  bool is_user_error;
};

// The vote. Runs `work` on this rank; when it threw on any rank, every rank throws an AgreedError with the message of
// the lowest such rank. Collective.
FEDMPI_API void agree(Communicator& communicator, const std::function<void()>& work);

}  // namespace fedmpi
