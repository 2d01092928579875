#pragma once

#include "review_archive.hpp"
#include "vocabulary.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace fedmpi {

struct TokenizedReview {
  ReviewKey key;
  std::string text_digest;
  std::span<const std::int32_t> tokens;  // owned by the pool
  bool cut = false;
};

// Tokenizes reviews on several threads while more are being read. add() and finish() from one thread.
class TokenizerPool {
 public:
  TokenizerPool(const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens, int num_threads);
  ~TokenizerPool();  // drops what was not begun, and waits
  TokenizerPool(const TokenizerPool&) = delete;
  TokenizerPool& operator=(const TokenizerPool&) = delete;

  void add(Review&& review);  // waits while too much is in hand; throws what a thread has thrown

  // Waits for all; the reviews in the order of their keys. The spans live as long as the pool. Once.
  std::vector<TokenizedReview> finish();

 private:
  struct Worker {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> ends;  // of each review's tokens
    std::vector<TokenizedReview> reviews;
    std::thread thread;
  };
  void work(Worker& worker, const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens);
  bool take(std::vector<Review>& batch);
  void push();
  void stop(bool drop);

  std::vector<Worker> workers_;
  std::vector<Review> filling_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::vector<Review>> waiting_;
  std::exception_ptr error_;
  bool closed_ = false;
};

}  // namespace fedmpi
