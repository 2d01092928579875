// Between two collectives: hosts tell the server how far they are, and any rank may ask all to give up their work.
#include "communicator_handle.hpp"
#include "mpi_calls.hpp"
#include "ulfm.hpp"

#include <chrono>
#include <limits>
#include <thread>
#include <utility>

namespace fedmpi {

namespace {

constexpr int server = 0;
constexpr int report_tag = 1, answer_tag = 2;  // from a host to the server, and back
// Other reports are amounts, none so far from zero.
constexpr std::int64_t finished_word = std::numeric_limits<std::int64_t>::min(), stop_word = finished_word + 1;

}  // namespace

void Communicator::report(std::int64_t amount) {
  if (is_server()) return;
  const int result = MPI_Send(&amount, 1, MPI_INT64_T, server, report_tag, handle_->comm);
  // Whoever is told of a loss here goes on with its own work; await_reports will fail.
  if (ulfm::is_loss(result))
    loss_noticed_ = true;
  else
    check_mpi(result, "MPI_Send");
}

void Communicator::request_stop() {
  stop_ = true;
  report(stop_word);
}

bool Communicator::stop_requested() {
  if (stop_ || is_server()) return stop_;
  int arrived = 0;
  const int result = MPI_Iprobe(server, answer_tag, handle_->comm, &arrived, MPI_STATUS_IGNORE);
  if (ulfm::is_loss(result)) {
    loss_noticed_ = true;  // as in report
    return false;
  }
  check_mpi(result, "MPI_Iprobe");
  return arrived != 0;  // it is received by await_reports
}

void Communicator::tell_hosts(std::int64_t word) {
  for (int rank = 1; rank < size_; ++rank) FEDMPI_MPI(MPI_Send, &word, 1, MPI_INT64_T, rank, answer_tag, handle_->comm);
}

bool Communicator::await_reports(const std::function<void(std::int64_t)>& advance,
                                 const std::function<bool()>& wants_stop) {
  const bool stopped = is_server() ? await_hosts(advance, wants_stop) : await_server(wants_stop);
  stop_ = false;
  return stopped;
}

bool Communicator::receive_word(int from, int tag, std::int64_t& word) {
  int arrived = 0;
  FEDMPI_MPI(MPI_Iprobe, from, tag, handle_->comm, &arrived, MPI_STATUS_IGNORE);
  if (arrived == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return false;
  }
  FEDMPI_MPI(MPI_Recv, &word, 1, MPI_INT64_T, from, tag, handle_->comm, MPI_STATUS_IGNORE);
  return true;
}

bool Communicator::await_hosts(const std::function<void(std::int64_t)>& advance,
                               const std::function<bool()>& wants_stop) {
  bool told = false;
  for (int waiting = size_ - 1; waiting > 0;) {
    stop_ = stop_ || wants_stop();
    if (stop_ && !std::exchange(told, true)) tell_hosts(stop_word);
    std::int64_t word = 0;
    if (!receive_word(MPI_ANY_SOURCE, report_tag, word)) continue;
    if (word == finished_word)
      --waiting;
    else if (word == stop_word)
      stop_ = true;
    else
      advance(word);
  }
  if (stop_ && !told) tell_hosts(stop_word);
  tell_hosts(finished_word);
  return stop_;
}

// A host that has finished may be the one that wants all to stop. Where the server hears of that too late it takes it
// for the next turn's wish, which it is then.
bool Communicator::await_server(const std::function<bool()>& wants_stop) {
  bool stopped = false;
  report(finished_word);
  for (std::int64_t word = 0; word != finished_word;) {
    if (!stop_ && wants_stop()) request_stop();
    if (receive_word(server, answer_tag, word)) stopped = stopped || word == stop_word;
  }
  return stopped;
}

}  // namespace fedmpi
