// What a job's dataset holds, for Python: dataset_probe JOB.toml OUT
// Writes OUT.train.features and OUT.test.features (float32) and OUT.train.labels and OUT.test.labels (int64), raw.
#include "fedmpi/dataset.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"

#include <fstream>
#include <iostream>
#include <numeric>
#include <vector>

#include <ATen/core/Tensor.h>

namespace {

using namespace fedmpi;

void write_raw(const std::string& path, const at::Tensor& tensor) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

void probe(const std::string& job_path, const std::string& out) {
  const Job job = parse_job(read_job_file(job_path), job_path, {});
  const Plugin plugin =
      load_plugin("dataset", job.dataset.name, plugin_search_path(job.plugin_directories), PluginTrust::any);
  const auto dataset = make<Dataset>(plugin, plugin_options(job.dataset, plugin.options(), "data", job));
  for (const auto& [split, name] : {std::pair{Split::train, "train"}, std::pair{Split::test, "test"}}) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(dataset->size(split)));
    std::iota(all.begin(), all.end(), 0);
    const Batch batch = dataset->batch(split, all);
    write_raw(out + "." + name + ".features", batch.features.contiguous());
    write_raw(out + "." + name + ".labels", batch.labels.contiguous());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: dataset_probe JOB.toml OUT\n";
    return 2;
  }
  try {
    probe(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
