#pragma once

#include "fedmpi/export.hpp"

#include <array>
#include <cstdint>
#include <span>

namespace fedmpi {

// Why a random number is drawn. Two purposes never share a stream. Values are part of what makes a run
// reproducible: never renumber.
enum class Purpose : std::uint32_t {
  initialise = 1,      // new parameters (a classification head)
  sample_clients = 2,  // the cohort of a round
  partition = 3,       // examples over clients
  shuffle = 4,         // the order of a client's examples in an epoch
  dropout = 5,
  synthetic = 6,    // made-up data
  central = 7,      // which test examples are used centrally
  prepare = 8,      // the order of examples in shards, and which of them are for testing
  compression = 9,  // of what a client sends
};

// Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3"): four 32-bit words that
// are a pure function of a 64-bit key and a 128-bit counter.
FEDMPI_API std::array<std::uint32_t, 4> philox(std::uint64_t key, std::array<std::uint32_t, 4> counter);

// Names one stream of random numbers. Derived from what the number is for, never from a rank, a thread or the
// order of calls. `client` is -1 and `round` 0 where they do not apply.
struct RandomKey {
  std::uint64_t value = 0;
  bool operator==(const RandomKey&) const = default;
};
FEDMPI_API RandomKey random_key(std::uint64_t seed, Purpose purpose, std::int64_t round = 0, std::int64_t client = -1);

// A key for part `index` (a step, a layer) of what `key` stands for.
FEDMPI_API RandomKey derive(RandomKey key, std::uint64_t index);

// The stream of a key, read in order. The distributions are ours because the standard library's differ between
// implementations. Not thread-safe; make one per thread of work from derived keys.
class FEDMPI_API RandomStream {
 public:
  explicit RandomStream(RandomKey key) : key_{key} {}

  std::uint32_t next();
  std::uint64_t below(std::uint64_t bound);      // uniform in [0, bound), without bias; bound > 0
  double uniform();                              // [0, 1), 53 bits
  double normal();                               // N(0, 1), Box-Muller
  void shuffle(std::span<std::int64_t> values);  // Fisher-Yates

 private:
  RandomKey key_;
  std::uint64_t block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  unsigned used_ = 4;
};

// The words of RandomStream{key} from word 4 * first_block on, many at a time.
FEDMPI_API void random_words(RandomKey key, std::uint64_t first_block, std::span<std::uint32_t> words);

}  // namespace fedmpi
