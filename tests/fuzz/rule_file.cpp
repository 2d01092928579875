// A file of indices or a trace: refused with a FileError or a ConfigError, or every example belongs to one client and
// every cohort is made of clients.
#include "cohort.hpp"
#include "fedmpi/error.hpp"
#include "input_file.hpp"
#include "partition.hpp"

#include <set>

using namespace fedmpi;

namespace {

constexpr std::int64_t num_examples = 8;

class Examples final : public Dataset {
 public:
  std::int64_t size(Split) const override { return num_examples; }
  std::span<const std::int64_t> labels(Split) const override { return labels_; }
  std::int64_t num_labels() const override { return 2; }
  std::span<const std::int64_t> lengths(Split) const override { return labels_; }
  Batch batch(Split, std::span<const std::int64_t>) const override { return {}; }
  std::string digest() const override { return {}; }

 private:
  std::vector<std::int64_t> labels_{0, 1, 0, 1, 0, 1, 0, 1};
};

constexpr const char* job_text = R"([run]
name = "a"
[federation]
clients = 3
sampling = { name = "trace", file = "trace.json" }
[model]
name = "m"
[data]
name = "d"
partition = { name = "indices", file = "parts.json" }
)";

void check(const std::vector<std::vector<std::int64_t>>& parts) {
  std::set<std::int64_t> seen;
  require(parts.size() == 3, "there is not a part for each client");
  for (const auto& part : parts)
    for (const std::int64_t example : part)
      require(example >= 0 && example < num_examples && seen.insert(example).second, "an example is wrong");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const Job plain = parse_job(job_text, "job.toml", {});
  Job job = plain;
  job.data.partition.file_text = job.federation.sampling.file_text = text_of(bytes, size);
  Partition partition;
  try {
    partition = make_partition(job, Examples());
    check(partition.train);
    check(partition.test);
  } catch (const UserError&) {  // as a file may be
  }
  partition.train.resize(3);
  try {
    const Cohorts cohorts(job, partition);
    for (int round = 0; round <= job.run.rounds; ++round)
      for (const std::int64_t client : cohorts.fit(round))
        require(client >= 0 && client < 3, "there is no such client");
  } catch (const UserError&) {
  }
  return 0;
}
