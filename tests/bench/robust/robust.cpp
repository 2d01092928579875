// Aggregates made-up updates by strategies on slices, under mpirun, and prints a line of JSON for each: seconds, the
// most memory that a rank took for it, and some of the result. compare.py does the same with NumPy.
//   mpirun -np 4 robust PLUGINS SIZE CLIENTS NUM_MALICIOUS NAME...
#include "aggregation.hpp"
#include "fedmpi/communicator.hpp"
#include "fedmpi/plugin.hpp"
#include "stopwatch.hpp"
#include "update_spool.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>

namespace {

using namespace fedmpi;

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

at::Tensor made_up_update(std::int64_t client, std::int64_t size) {
  at::Tensor update = at::empty({size}, at::kFloat);
  float* values = update.data_ptr<float>();
  for (std::int64_t j = 0; j < size; ++j) {
    const std::int64_t mixed = (client * 7919 + j * 104729 + (client * j) % 1009 * 31) % 65521;
    values[j] = static_cast<float>(static_cast<double>(mixed) / 65521.0 - 0.5);
  }
  return update;
}

void measure(Communicator& communicator, const std::string& plugins, const std::string& name, std::int64_t size,
             std::int64_t num_clients, std::int64_t num_malicious) {
  const std::vector<std::filesystem::path> path{plugins};
  const Plugin plugin = load_plugin("strategy", name, path);
  std::map<std::string, OptionValue> given;
  for (const OptionSpec& option : plugin.options())
    if (std::string(option.name) == "num_malicious_clients") given["num_malicious_clients"] = num_malicious;
  const auto strategy = make<Strategy>(plugin, Options{plugin.options(), given, name});
  std::vector<FitRecord> all, own;
  UpdateSpool spool(size);
  const int first_host = communicator.size() == 1 ? 0 : 1, num_hosts = communicator.size() - first_host;
  for (std::int64_t client = 0; client < num_clients; ++client) {
    const FitRecord record{.client = client, .num_examples = 1, .weight = 1.0};
    all.push_back(record);
    if (client % num_hosts + first_host != communicator.rank()) continue;
    own.push_back(record);
    spool.append(made_up_update(client, size));
  }
  const at::Tensor global = at::zeros({size}), server_vectors = at::zeros({0, size});
  const std::int64_t before = peak_rss_bytes();
  agree(communicator, [] {});
  const Stopwatch stopwatch;
  const at::Tensor next = aggregate_slices(communicator, *strategy, {.round = 1, .num_clients = 64, .records = all},
                                           own, spool, global, server_vectors);
  const double seconds = stopwatch.seconds();
  const std::int64_t more = peak_rss_bytes() - before;
  const auto memory = communicator.all_gather(std::span<const std::int64_t>(&more, 1));
  if (!communicator.is_server()) return;
  fmt::print("{{\"strategy\": \"{}\", \"seconds\": {:.3f}, \"models\": {:.2f}, \"values\": [{}, {}, {}]}}\n", name,
             seconds, static_cast<double>(std::ranges::max(memory)) / (4.0 * static_cast<double>(size)),
             next[0][0].item<float>(), next[0][size / 2].item<float>(), next[0][size - 1].item<float>());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  MpiSession session(argc, argv);
  if (argc < 6) {
    std::fputs("robust PLUGINS SIZE CLIENTS NUM_MALICIOUS NAME...\n", stderr);
    return 2;
  }
  Communicator communicator(session);
  at::set_num_threads(communicator.cores_per_host());
  for (int i = 5; i < argc; ++i)
    measure(communicator, argv[1], argv[i], std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]));
  return 0;
}
