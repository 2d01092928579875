// In the place of NCCL and the CUDA runtime, for processes of one machine without a GPU: what they give each other lies
// in a file that they map, in FEDMPI_STAND_IN_DIRECTORY or else in /dev/shm. As there, nothing here notices that a
// process has died.
//
// FEDMPI_STAND_IN chooses what goes wrong, on the ranks of the job that FEDMPI_STAND_IN_RANK names (all where it is not
// set): "same_gpu", "no_gpu", "never_joins", "fails" (at the third collective).
#include "fedmpi/error.hpp"
#include "nccl_calls.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fedmpi {

namespace {

constexpr int max_ranks = 16;
constexpr std::int64_t most_bytes = std::int64_t{1} << 30;  // of each rank; pages that are not used take no memory

// How many collectives each rank has given its part to, and how many it has finished.
struct Control {
  std::atomic<int> joined;
  std::atomic<std::int64_t> given[max_ranks], finished[max_ranks];
};

bool goes_wrong(std::string_view how) {
  const char *chosen = std::getenv("FEDMPI_STAND_IN"), *rank = std::getenv("FEDMPI_STAND_IN_RANK"),
             *own = std::getenv("OMPI_COMM_WORLD_RANK");
  if (chosen == nullptr || how != chosen) return false;
  return rank == nullptr || own == nullptr || std::string_view(rank) == own;
}

class StandInCalls final : public NcclCalls {
 public:
  ~StandInCalls() override { StandInCalls::abort(); }

  std::string open(at::Device device) override {
    if (!device.is_cpu())
      throw UserError("the stand-in carries what lies in ordinary memory: set run.device = \"cpu\"");
    if (goes_wrong("no_gpu")) throw UserError("the stand-in was told to find no GPU");
    return goes_wrong("same_gpu") ? "GPU 0" : fmt::format("GPU of process {}", ::getpid());
  }

  std::string unique_id() override {
    static int count = 0;
    const char* directory = std::getenv("FEDMPI_STAND_IN_DIRECTORY");
    const std::string name =
        fmt::format("{}/fedmpi-stand-in-{}-{}", directory != nullptr ? directory : "/dev/shm", ::getpid(), count++);
    const int file = ::open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(Control) + max_ranks * most_bytes) != 0)
      throw Error("the stand-in has no shared memory");
    ::close(file);
    return name;
  }

  void start_join(const std::string& unique_id, int rank, int size) override {
    name_ = unique_id;
    rank_ = rank;
    size_ = size;
    const int file = ::open(name_.c_str(), O_RDWR);
    void* memory = file < 0 ? MAP_FAILED
                            : ::mmap(nullptr, sizeof(Control) + max_ranks * most_bytes, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_NORESERVE, file, 0);
    if (file >= 0) ::close(file);
    if (memory == MAP_FAILED) throw Error("the stand-in cannot map its shared memory");
    control_ = static_cast<Control*>(memory);
    number_ = 0;
    if (!goes_wrong("never_joins")) ++control_->joined;
    started_ = Started::join;
  }

  void start_broadcast(at::Tensor buffer) override { start(Started::broadcast, std::move(buffer), rank_ == 0); }
  void start_reduce_sum(at::Tensor buffer) override { start(Started::reduce, std::move(buffer), true); }

  State state() override {
    if (number_ == 3 && goes_wrong("fails")) return State::failed;
    if (started_ == Started::join) {
      if (control_->joined < size_) return State::in_progress;
      if (rank_ == 0) ::unlink(name_.c_str());
      return State::done;
    }
    if (!give()) return State::in_progress;
    switch (started_) {
      case Started::join:
        break;
      case Started::broadcast:
        if (!all(control_->given, 1, number_)) return State::in_progress;
        if (rank_ != 0) std::memcpy(buffer_.data_ptr(), part(0), buffer_.nbytes());
        break;
      case Started::reduce:
        if (rank_ == 0) {
          if (!all(control_->given, size_, number_)) return State::in_progress;
          auto* sum = buffer_.data_ptr<std::int64_t>();
          for (int rank = 1; rank < size_; ++rank)
            for (std::int64_t i = 0; i < buffer_.numel(); ++i)
              sum[i] += reinterpret_cast<const std::int64_t*>(part(rank))[i];
        }
        break;
    }
    control_->finished[rank_] = number_;
    return State::done;
  }

  std::string failure() override { return "the stand-in was told to fail"; }

  void abort() noexcept override {
    if (control_ != nullptr) ::munmap(control_, sizeof(Control) + max_ranks * most_bytes);
    if (control_ != nullptr && rank_ == 0) ::unlink(name_.c_str());
    control_ = nullptr;
  }

 private:
  enum class Started { join, broadcast, reduce };

  void start(Started what, at::Tensor buffer, bool gives) {
    if (static_cast<std::int64_t>(buffer.nbytes()) > most_bytes) throw Error("the stand-in has no room for so much");
    started_ = what;
    buffer_ = std::move(buffer);
    gives_ = gives;
    ++number_;
  }

  // Whether the first `ranks` have come as far as the collective `number`.
  bool all(const std::atomic<std::int64_t>* counts, int ranks, std::int64_t number) const {
    for (int rank = 0; rank < ranks; ++rank)
      if (counts[rank] < number) return false;
    return true;
  }

  // A rank's part may be written once all have finished with what was there before.
  bool give() {
    if (control_->given[rank_] == number_) return true;
    if (!all(control_->finished, size_, number_ - 1)) return false;
    if (gives_) std::memcpy(part(rank_), buffer_.const_data_ptr(), buffer_.nbytes());
    control_->given[rank_] = number_;
    return true;
  }

  std::byte* part(int rank) const { return reinterpret_cast<std::byte*>(control_ + 1) + rank * most_bytes; }

  std::string name_;
  int rank_ = 0, size_ = 0;
  Control* control_ = nullptr;
  Started started_ = Started::join;
  at::Tensor buffer_;
  bool gives_ = false;
  std::int64_t number_ = 0;
};

}  // namespace

std::unique_ptr<NcclCalls> make_nccl_calls() {
  return std::make_unique<StandInCalls>();
}

}  // namespace fedmpi
