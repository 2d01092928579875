#include "fedmpi/checkpoint.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "fedmpi/partial_round.hpp"
#include "fedmpi/shard.hpp"
#include "seeds.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <hdf5.h>

namespace fedmpi {
namespace {

Shard three_reviews(std::int64_t vocabulary_size) {
  Shard shard;
  shard.tokens = at::tensor({101, 7, 102, 101, 102, 101, 8, 9, 102}, at::kInt);
  shard.offsets = at::tensor({0, 3, 5, 9}, at::kLong);
  shard.labels = at::tensor({1, 0, 1}, at::kLong);
  shard.vocabulary_size = vocabulary_size;
  shard.num_labels = 2;
  shard.vocabulary_digest = "beef";
  shard.provenance = {{"source", "reviews"}, {"max_tokens", "512"}, {"seed", "42"}, {"lower_case", "true"}};
  return shard;
}

Checkpoint small_checkpoint(int num_states) {
  Checkpoint checkpoint;
  checkpoint.round = 3;
  checkpoint.layout = Layout({{"norm.weight", {3}, TensorRole::local}, {"body.weight", {4, 5}}});
  checkpoint.parameters = at::arange(checkpoint.layout.size(), at::kFloat) / 7;
  checkpoint.digest = digest(checkpoint.parameters);
  for (int i = 0; i < num_states; ++i) {
    checkpoint.strategy_state.push_back({"state_" + std::to_string(i), at::arange(5, at::kDouble)});
  }
  checkpoint.job = "[run]\nname = \"a\"\n";
  checkpoint.history = {R"({"round":0})"};
  checkpoint.versions = {{"torch", "2.13.0"}};
  return checkpoint;
}

// What other programs may write: HDF5's older and newer formats, and every way of storing that is accepted.
struct Style {
  const char* name;
  H5F_libver_t low;
  hsize_t chunk = 0;  // 0: contiguous
  bool unlimited = false, filtered = false, compact = false;
};
constexpr Style styles[] = {{"old", H5F_LIBVER_EARLIEST},
                            {"new", H5F_LIBVER_V110},
                            {"compact", H5F_LIBVER_V110, 0, false, false, true},
                            {"old_chunked", H5F_LIBVER_EARLIEST, 2},
                            {"old_deflated", H5F_LIBVER_EARLIEST, 4, true, true},
                            {"one_chunk", H5F_LIBVER_V110, 16},
                            {"fixed_array", H5F_LIBVER_V110, 2},
                            {"fixed_array_deflated", H5F_LIBVER_V110, 2, false, true},
                            {"extensible_array", H5F_LIBVER_V110, 2, true},
                            {"extensible_array_deflated", H5F_LIBVER_V110, 1, true, true}};

void check(hid_t result) {
  if (result < 0) throw std::runtime_error("a seed could not be written");
}

void write_text(hid_t file, const char* name, const std::string& value) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  check(H5Tset_size(type, value.size()));
  const hid_t attribute = H5Acreate2(file, name, type, H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
  check(attribute);
  check(H5Awrite(attribute, type, value.data()));
}

void write_integer(hid_t file, const char* name, std::int64_t value) {
  const hid_t attribute = H5Acreate2(file, name, H5T_STD_I64LE, H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
  check(attribute);
  check(H5Awrite(attribute, H5T_NATIVE_INT64, &value));
}

void write_values(hid_t file, const Style& style, const char* name, hid_t type,
                  const std::vector<std::int64_t>& values) {
  const hsize_t size = values.size();
  const hsize_t most = style.unlimited ? H5S_UNLIMITED : size;
  const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
  if (style.compact) check(H5Pset_layout(creation, H5D_COMPACT));
  const hsize_t chunk = std::min(style.chunk, style.unlimited ? style.chunk : size);
  if (chunk > 0) check(H5Pset_chunk(creation, 1, &chunk));
  if (style.filtered) {
    check(H5Pset_shuffle(creation));
    check(H5Pset_deflate(creation, 6));
  }
  const hid_t dataset =
      H5Dcreate2(file, name, type, H5Screate_simple(1, &size, &most), H5P_DEFAULT, creation, H5P_DEFAULT);
  check(dataset);
  check(H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
}

void write_foreign_shard(const std::filesystem::path& path, const Style& style) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  check(H5Pset_libver_bounds(access, style.low, H5F_LIBVER_LATEST));
  check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  check(file);
  write_text(file, "schema", "fedmpi-shard");
  write_integer(file, "schema_version", 1);
  write_integer(file, "vocabulary_size", 1000);
  write_integer(file, "num_labels", 2);
  write_text(file, "vocabulary_digest", "beef");
  write_values(file, style, "tokens", H5T_STD_U16LE, {101, 7, 102, 101, 102});
  write_values(file, style, "offsets", H5T_STD_I64LE, {0, 3, 5});
  write_values(file, style, "labels", H5T_STD_I64LE, {1, 0});
  check(H5Fclose(file));
}

void write_arrays(const std::filesystem::path& path, const at::Tensor& features, const at::Tensor& labels, bool keys) {
  Hdf5Writer file(path);
  file.write("/features", features);
  file.write("/labels", labels);
  if (keys) file.write("/keys", at::arange(labels.numel(), at::kInt));
  file.commit();
}

}  // namespace

void make_hdf5_seeds(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory / "shard");
  std::filesystem::create_directories(directory / "checkpoint");
  std::filesystem::create_directories(directory / "partial_round");
  write_shard(directory / "shard/uint16.h5", three_reviews(1000));
  write_shard(directory / "shard/int32.h5", three_reviews(100'000));
  for (const Style& style : styles) {
    write_foreign_shard(directory / "shard" / (std::string(style.name) + ".h5"), style);
  }
  std::filesystem::create_directories(directory / "array_shard");
  write_arrays(directory / "array_shard/bytes.h5", at::arange(24, at::kByte).view({3, 2, 2, 2}), at::arange(3), true);
  write_arrays(directory / "array_shard/floats.h5", at::ones({3, 2}), at::arange(3, at::kDouble), false);
  for (const int num_states : {0, 2, 12}) {
    save_checkpoint(directory / "checkpoint" / (std::to_string(num_states) + "_states.h5"),
                    small_checkpoint(num_states));
  }
  for (const std::int64_t num_clients : {1, 3}) {
    PartialRound partial{.round = 2, .origin = "beef", .records = {}, .sum = at::arange(20, at::kLong)};
    for (std::int64_t i = 0; i < num_clients; ++i) partial.records.push_back({i, 10, 2, 500, 0.5, 10.0, 1.5});
    save_partial_round(directory / "partial_round" / (std::to_string(num_clients) + "_clients.h5"), partial);
  }
}

}  // namespace fedmpi
