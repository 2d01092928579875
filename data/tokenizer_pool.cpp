#include "tokenizer_pool.hpp"

#include "fedmpi/digest.hpp"
#include "word_piece.hpp"

#include <algorithm>
#include <utility>

namespace fedmpi {
namespace {

constexpr std::size_t batch_size = 128;

}  // namespace

TokenizerPool::TokenizerPool(const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens, int num_threads)
    : workers_(static_cast<std::size_t>(num_threads)) {
  try {
    for (Worker& worker : workers_) {
      worker.thread = std::thread([&, lower_case, max_tokens] { work(worker, vocabulary, lower_case, max_tokens); });
    }
  } catch (...) {
    stop(true);
    throw;
  }
}

TokenizerPool::~TokenizerPool() {
  stop(true);
}

void TokenizerPool::add(Example&& example) {
  filling_.push_back(std::move(example));
  if (filling_.size() == batch_size) push();
}

std::vector<TokenizedExample> TokenizerPool::finish() {
  push();
  stop(false);
  if (error_) std::rethrow_exception(error_);
  std::vector<TokenizedExample> all;
  for (Worker& worker : workers_) {
    std::size_t start = 0;
    for (std::size_t i = 0; i < worker.examples.size(); ++i) {
      worker.examples[i].tokens = std::span(worker.tokens).subspan(start, worker.ends[i] - start);
      start = worker.ends[i];
      all.push_back(std::move(worker.examples[i]));
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

void TokenizerPool::work(Worker& worker, const Vocabulary& vocabulary, bool lower_case, std::int64_t max_tokens) {
  try {
    WordPiece tokenizer(vocabulary, lower_case);
    for (std::vector<Example> batch; take(batch);) {
      for (const Example& example : batch) {
        const bool cut = tokenizer.encode(example.text, max_tokens, worker.tokens);
        worker.ends.push_back(worker.tokens.size());
        worker.examples.push_back({example.name, example.key, digest(std::string_view(example.text)), {}, cut});
      }
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    changed_.notify_all();
  }
}

bool TokenizerPool::take(std::vector<Example>& batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closed_ || error_ || !waiting_.empty(); });
  if (waiting_.empty() || error_) return false;
  batch = std::move(waiting_.front());
  waiting_.pop_front();
  changed_.notify_all();
  return true;
}

void TokenizerPool::push() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || waiting_.size() < 2 * workers_.size(); });
  if (error_) std::rethrow_exception(error_);
  waiting_.push_back(std::exchange(filling_, {}));
  changed_.notify_all();
}

void TokenizerPool::stop(bool drop) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (drop) waiting_.clear();
    changed_.notify_all();
  }
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
}

}  // namespace fedmpi
