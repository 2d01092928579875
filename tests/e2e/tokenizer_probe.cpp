// tokenizer_probe VOCAB lower|cased MAX_TOKENS THREADS: texts come on standard input, each as its length (32 bits,
// little endian) and its bytes; their ids leave on standard output in the same form (a count, then 32-bit ids).
// The seconds spent on tokenizing alone go to standard error.
#include "word_piece.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

std::vector<std::string> read_texts() {
  std::vector<std::string> texts;
  std::uint32_t size;
  while (std::fread(&size, sizeof size, 1, stdin) == 1) {
    std::string text(size, '\0');
    if (std::fread(text.data(), 1, size, stdin) != size) throw std::runtime_error("the last text is incomplete");
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("usage: tokenizer_probe VOCAB lower|cased MAX_TOKENS THREADS");
  const fedmpi::Vocabulary vocabulary(argv[1]);
  const bool lower_case = std::string_view(argv[2]) == "lower";
  const std::int64_t max_tokens = std::stoll(argv[3]);
  const std::size_t num_threads = std::stoul(argv[4]);
  const std::vector<std::string> texts = read_texts();
  std::vector<std::vector<std::int32_t>> ids(texts.size());

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      fedmpi::WordPiece tokenizer(vocabulary, lower_case);
      for (std::size_t i = t; i < texts.size(); i += num_threads) tokenizer.encode(texts[i], max_tokens, ids[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  for (const auto& row : ids) {
    const auto count = static_cast<std::uint32_t>(row.size());
    std::fwrite(&count, sizeof count, 1, stdout);
    std::fwrite(row.data(), sizeof(std::int32_t), row.size(), stdout);
  }
  std::fprintf(stderr, "%.6f\n", seconds.count());
  return std::fflush(stdout) == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
