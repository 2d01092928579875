#include "fedmpi/shard.hpp"

#include "checkpoint_json.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <stdexcept>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr const char* schema = "fedmpi-shard";
constexpr std::int64_t schema_version = 1;
constexpr std::int64_t max_vocabulary_in_uint16 = 1 << 16;
constexpr std::array reserved = {"schema", "schema_version", "vocabulary_size", "num_labels", "vocabulary_digest"};

void check_dtype(const at::Tensor& tensor, at::ScalarType type, const std::filesystem::path& path, const char* name,
                 const char* expected) {
  if (tensor.dim() != 1 || tensor.scalar_type() != type) {
    throw file_error(path, fmt::format("{} must be 1-D and of type {}", name, expected));
  }
}

// The first value outside [0, limit) makes an error that says where it is.
template <typename T>
void check_range(const at::Tensor& values, std::int64_t limit, const std::filesystem::path& path, const char* name,
                 const char* limit_name) {
  const T* data = values.const_data_ptr<T>();
  const std::int64_t size = values.numel();
  const auto bad = std::find_if(data, data + size, [&](T value) { return value < 0 || value >= limit; });
  if (bad == data + size) return;
  throw file_error(path, fmt::format("{} holds {} at position {}, outside 0..{} ({} is {})", name, *bad, bad - data,
                                     limit - 1, limit_name, limit));
}

void check_offsets(const Shard& shard, const std::filesystem::path& path) {
  const std::int64_t* offsets = shard.offsets.const_data_ptr<std::int64_t>();
  const std::int64_t size = shard.offsets.numel();
  if (size != shard.labels.numel() + 1) {
    throw file_error(path, fmt::format("/offsets has {} entries where {} labels need {}", size, shard.labels.numel(),
                                       shard.labels.numel() + 1));
  }
  if (offsets[0] != 0) throw file_error(path, "/offsets does not begin with 0");
  const auto bad = std::adjacent_find(offsets, offsets + size, std::greater<>());
  if (bad != offsets + size) {
    throw file_error(path, fmt::format("/offsets descends after position {}", bad - offsets));
  }
  if (offsets[size - 1] != shard.tokens.numel()) {
    throw file_error(
        path, fmt::format("/offsets ends with {} but there are {} tokens", offsets[size - 1], shard.tokens.numel()));
  }
}

void check_keys(const at::Tensor& keys, std::int64_t num_examples, const std::filesystem::path& path) {
  check_dtype(keys, at::kLong, path, "/keys", "int64");
  if (keys.numel() != num_examples)
    throw file_error(path, fmt::format("/keys has {} entries, but /labels {}", keys.numel(), num_examples));
}

void check_shard(const Shard& shard, const std::filesystem::path& path) {
  check_dtype(shard.tokens, at::kInt, path, "/tokens", "uint16 or int32");
  check_dtype(shard.offsets, at::kLong, path, "/offsets", "int64");
  check_dtype(shard.labels, at::kLong, path, "/labels", "int64");
  if (shard.keys.defined()) check_keys(shard.keys, shard.labels.numel(), path);
  if (shard.vocabulary_size < 1 || shard.vocabulary_size > std::numeric_limits<std::int32_t>::max()) {
    throw file_error(path, fmt::format("vocabulary_size {} is outside 1..2147483647", shard.vocabulary_size));
  }
  if (shard.num_labels < 1) throw file_error(path, fmt::format("num_labels {} is below 1", shard.num_labels));
  check_offsets(shard, path);
  check_range<std::int32_t>(shard.tokens, shard.vocabulary_size, path, "/tokens", "vocabulary_size");
  check_range<std::int64_t>(shard.labels, shard.num_labels, path, "/labels", "num_labels");
}

bool is_reserved(const std::string& key) {
  return std::find(reserved.begin(), reserved.end(), key) != reserved.end();
}

Shard read_file(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  if (!file.has_attribute("/", "schema") || file.read_string("/", "schema") != schema) {
    throw file_error(path, "is not a shard (its attribute schema is not fedmpi-shard); make one with fedmpi prepare");
  }
  if (const std::int64_t version = file.read_integer("/", "schema_version"); version != schema_version) {
    throw file_error(path, fmt::format("has schema_version {}; this program reads {}", version, schema_version));
  }
  Shard shard;
  shard.vocabulary_size = file.read_integer("/", "vocabulary_size");
  shard.num_labels = file.read_integer("/", "num_labels");
  shard.vocabulary_digest = file.read_string("/", "vocabulary_digest");
  for (const std::string& name : file.attributes("/")) {
    if (!is_reserved(name)) shard.provenance[name] = file.read_string("/", name);
  }
  shard.tokens = file.read("/tokens");
  shard.offsets = file.read("/offsets");
  shard.labels = file.read("/labels");
  if (file.has("/keys")) shard.keys = file.read("/keys");
  check_shard(shard, path);
  return shard;
}

}  // namespace

void write_shard(const std::filesystem::path& path, const Shard& shard) {
  check_shard(shard, path);
  Hdf5Writer file(path);
  file.write_string("/", "schema", schema);
  file.write_integer("/", "schema_version", schema_version);
  file.write_integer("/", "vocabulary_size", shard.vocabulary_size);
  file.write_integer("/", "num_labels", shard.num_labels);
  file.write_string("/", "vocabulary_digest", shard.vocabulary_digest);
  for (const auto& [key, value] : shard.provenance) {
    if (is_reserved(key)) throw std::logic_error("write_shard: provenance may not be named " + key);
    file.write_string("/", key, value);
  }
  if (shard.vocabulary_size <= max_vocabulary_in_uint16) {
    file.write_uint16("/tokens", shard.tokens);
  } else {
    file.write("/tokens", shard.tokens);
  }
  file.write("/offsets", shard.offsets);
  file.write("/labels", shard.labels);
  if (shard.keys.defined()) file.write("/keys", shard.keys);
  file.commit();
}

Shard read_shard(const std::filesystem::path& path) {
  rehearse(path, [&path] { read_file(path); });
  return read_file(path);
}

std::vector<std::string> label_names(const Shard& shard, const std::filesystem::path& path) {
  const auto text = shard.provenance.find("label_names");
  if (text == shard.provenance.end()) return {};
  std::vector<std::string> names;
  try {
    names = names_from_json(text->second);
  } catch (const std::exception&) {  // the sentence below says it
  }
  if (std::ssize(names) != shard.num_labels || std::ssize(std::set(names.begin(), names.end())) != shard.num_labels)
    throw file_error(path, fmt::format("its attribute label_names is no JSON list of {} different names, one for each "
                                       "label: make it again with fedmpi prepare",
                                       shard.num_labels));
  return names;
}

std::vector<std::filesystem::path> find_shards(const std::filesystem::path& directory, const std::string& split,
                                               const std::string& advice) {
  const std::filesystem::path alone = directory / (split + ".h5");
  const std::string prefix = split + "-";
  std::vector<std::filesystem::path> numbered;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() != ".h5" || !stem.starts_with(prefix)) continue;
    const std::string digits = stem.substr(prefix.size());
    if (digits.size() == 5 &&
        std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }))
      numbered.push_back(entry.path());
  }
  std::sort(numbered.begin(), numbered.end());
  const bool has_alone = std::filesystem::exists(alone, error);
  if (has_alone && !numbered.empty()) {
    throw file_error(directory, fmt::format("holds both {0}.h5 and {0}-00000.h5 style shards; remove one kind", split));
  }
  if (has_alone) return {alone};
  for (std::size_t i = 0; i < numbered.size(); ++i) {
    const std::filesystem::path expected = directory / fmt::format("{}-{:05}.h5", split, i);
    if (numbered[i] != expected)
      throw file_error(expected, "is missing: the shards of a split are numbered without a gap");
  }
  if (numbered.empty()) {
    throw file_error(directory, fmt::format("holds neither {0}.h5 nor {0}-00000.h5; {1}", split, advice));
  }
  return numbered;
}

}  // namespace fedmpi
