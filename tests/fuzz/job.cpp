// A job file, behind a zero byte each an argument of --set: refused with a ConfigError, or written out with every
// default it is the same job again.
#include "fedmpi/job.hpp"

#include "fedmpi/error.hpp"
#include "input_file.hpp"

using namespace fedmpi;

namespace {

bool same(const Job& a, const Job& b) {
  return a.run == b.run && a.federation == b.federation && a.data == b.data && a.training == b.training &&
         a.evaluation == b.evaluation && a.checkpoint == b.checkpoint && a.plugin_directories == b.plugin_directories;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::vector<std::string> parts{""};
  for (const char c : text_of(bytes, size)) {
    if (c == '\0') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  try {
    const Job job = parse_job(parts[0], "job.toml", std::span(parts).subspan(1));
    require(same(parse_job(resolved_toml(job, {}, {}, {}), "job.toml", {}), job), "written out it is another job");
  } catch (const ConfigError& error) {
    require(!error.where.empty(), "the error does not say where");
  }
  return 0;
}
