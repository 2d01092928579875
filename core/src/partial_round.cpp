#include "fedmpi/partial_round.hpp"

#include "digested_tensor.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr const char* schema = "fedmpi-partial-round";
constexpr std::int64_t schema_version = 2;
constexpr std::int64_t num_counts = 4, num_values = 5;  // columns of /counts and /values, one row a client

std::string digest_of(std::int64_t round, const std::string& origin) {
  return digest(fmt::format("round={};origin={};", round, origin));
}

FitRecord record_of(const std::int64_t* counts, const double* values) {
  const FitRecord record{.client = counts[0],
                         .num_examples = counts[1],
                         .num_steps = counts[2],
                         .num_tokens = counts[3],
                         .loss = values[0],
                         .weight = values[1],
                         .seconds = values[2],
                         .initial_loss = values[3],
                         .update_norm = values[4]};
  if (record.client < 0 || record.num_examples < 1 || record.num_steps < 0 || record.num_tokens < 0 ||
      !(record.weight >= 0.0) || !std::isfinite(record.weight) || !std::isfinite(record.loss) ||
      !std::isfinite(record.seconds) || !std::isfinite(record.initial_loss) || !std::isfinite(record.update_norm))
    throw Error(fmt::format("its record of client {} is out of range", record.client));
  return record;
}

PartialRound read_partial_round(const Hdf5Reader& file) {
  const std::int64_t round = file.read_integer("/", "round");
  PartialRound partial{.round = 0, .origin = file.read_string("/", "origin"), .records = {}, .sum = {}};
  if (digest_of(round, partial.origin) != file.read_string("/", "attributes_digest"))
    throw Error("its attributes do not match their digest");
  if (round < 1 || round > std::numeric_limits<int>::max()) throw Error("its round is out of range");
  partial.round = static_cast<int>(round);
  const at::Tensor counts = read_digested(file, "/counts"), values = read_digested(file, "/values");
  partial.sum = read_digested(file, "/sum");
  if (counts.scalar_type() != at::kLong || counts.dim() != 2 || counts.size(0) == 0 || counts.size(1) != num_counts ||
      values.scalar_type() != at::kDouble || values.dim() != 2 || values.size(0) != counts.size(0) ||
      values.size(1) != num_values || partial.sum.scalar_type() != at::kLong || partial.sum.dim() != 1)
    throw Error("its datasets have other types or shapes");
  for (std::int64_t i = 0; i < counts.size(0); ++i)
    partial.records.push_back(record_of(counts.const_data_ptr<std::int64_t>() + i * num_counts,
                                        values.const_data_ptr<double>() + i * num_values));
  return partial;
}

PartialRound read_file(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  try {
    if (file.read_string("/", "schema") != schema || file.read_integer("/", "schema_version") != schema_version)
      throw Error("it has another schema");
    return read_partial_round(file);
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    throw file_error(path, std::string("is not a partial round of this program: ") + error.what());
  }
}

}  // namespace

void save_partial_round(const std::filesystem::path& path, const PartialRound& partial) {
  const auto rows = static_cast<std::int64_t>(partial.records.size());
  const at::Tensor counts = at::empty({rows, num_counts}, at::kLong),
                   values = at::empty({rows, num_values}, at::kDouble);
  auto* count = counts.data_ptr<std::int64_t>();
  auto* value = values.data_ptr<double>();
  for (const FitRecord& record : partial.records) {
    for (const std::int64_t one : {record.client, record.num_examples, record.num_steps, record.num_tokens})
      *count++ = one;
    for (const double one : {record.loss, record.weight, record.seconds, record.initial_loss, record.update_norm})
      *value++ = one;
  }
  Hdf5Writer file(path);
  file.write_string("/", "schema", schema);
  file.write_integer("/", "schema_version", schema_version);
  file.write_integer("/", "round", partial.round);
  file.write_string("/", "origin", partial.origin);
  file.write_string("/", "attributes_digest", digest_of(partial.round, partial.origin));
  write_digested(file, "/counts", counts);
  write_digested(file, "/values", values);
  write_digested(file, "/sum", partial.sum);
  file.commit();
}

PartialRound load_partial_round(const std::filesystem::path& path) {
  rehearse(path, [&path] { read_file(path); });
  return read_file(path);
}

}  // namespace fedmpi
