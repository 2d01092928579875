#pragma once

#include "example_source.hpp"
#include "vocabulary.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fedmpi {

// Tokenizes examples on several threads while more are being read. add() and finish() from one thread.
class TokenizerPool {
 public:
  TokenizerPool(const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens, int num_threads);
  ~TokenizerPool();  // drops what was not begun, and waits
  TokenizerPool(const TokenizerPool&) = delete;
  TokenizerPool& operator=(const TokenizerPool&) = delete;

  void add(Example&& example);  // waits while too much is in hand; throws what a thread has thrown

  // Waits for all; the examples in the order of their names. The spans live as long as the pool. Once.
  std::vector<TokenizedExample> finish();

 private:
  struct Worker {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> ends;  // of each example's tokens
    std::vector<TokenizedExample> examples;
    std::thread thread;
  };
  void work(Worker& worker, const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens);
  bool take(std::vector<Example>& batch);
  void push();
  void stop(bool drop);

  std::vector<Worker> workers_;
  std::vector<Example> filling_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::vector<Example>> waiting_;
  std::exception_ptr error_;
  bool closed_ = false;
};

}  // namespace fedmpi
