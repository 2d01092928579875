#include "fedmpi/checkpoint.hpp"

#include "checkpoint_json.hpp"
#include "digested_tensor.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <system_error>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr const char* schema = "fedmpi-checkpoint";
constexpr std::int64_t schema_version = 2;

// All that is not a tensor, as it lies in the attributes of "/".
using Attributes = std::map<std::string, std::string>;

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string state_path(const std::string& name) {
  return "/strategy/" + name;
}

std::vector<std::string> state_names(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const NamedTensor& state : checkpoint.strategy_state) {
    if (state.name.empty() || state.name == "." || state.name.find('/') != std::string::npos) {
      throw file_error(
          path, fmt::format("could not be written: the strategy's state '{}' needs a name without /", state.name));
    }
    names.push_back(state.name);
  }
  return names;
}

Attributes attributes_of(const Checkpoint& checkpoint, const std::filesystem::path& path) {
  Attributes attributes{{"digest", checkpoint.digest},
                        {"layout", layout_to_json(checkpoint.layout)},
                        {"strategy_state", names_to_json(state_names(checkpoint, path))},
                        {"job", checkpoint.job},
                        {"dataset_digest", checkpoint.dataset_digest},
                        {"model_digest", checkpoint.model_digest},
                        {"history", joined(checkpoint.history)},
                        {"versions", strings_to_json(checkpoint.versions)}};
  if (!checkpoint.label_names.empty()) attributes["label_names"] = names_to_json(checkpoint.label_names);
  return attributes;
}

// One over everything small, round included, so that neither a value nor a name can change unnoticed.
std::string digest_of(const Attributes& attributes, std::int64_t round) {
  Digest all;
  all.add(fmt::format("round={};", round));
  for (const auto& [name, value] : attributes)
    all.add(fmt::format("{}:{}={}:{};", name.size(), name, value.size(), value));
  return all.hex();
}

Attributes read_attributes(const Hdf5Reader& file, std::int64_t round) {
  Attributes attributes;
  for (const std::string& name : file.attributes("/")) {
    if (name == "schema" || name == "schema_version" || name == "round" || name == "attributes_digest") continue;
    attributes[name] = file.read_string("/", name);
  }
  if (digest_of(attributes, round) != file.read_string("/", "attributes_digest")) {
    throw file_error(file.path(), "its attributes do not match their digest: the file is damaged");
  }
  return attributes;
}

// Each is bounded by the file, but one that is named again and again would not be.
std::vector<NamedTensor> read_states(const Hdf5Reader& file, const std::vector<std::string>& names) {
  std::uintmax_t room = std::filesystem::file_size(file.path());
  std::vector<NamedTensor> states;
  for (const std::string& name : names) {
    at::Tensor tensor = read_digested(file, state_path(name));
    if (tensor.nbytes() > room) throw Error("the strategy's state is larger than the file");
    room -= tensor.nbytes();
    states.push_back({name, std::move(tensor)});
  }
  return states;
}

Checkpoint read_checkpoint(const Hdf5Reader& file) {
  Checkpoint checkpoint;
  const std::int64_t round = file.read_integer("/", "round");
  const Attributes attributes = read_attributes(file, round);
  if (round < 0 || round > std::numeric_limits<int>::max()) throw file_error(file.path(), "its round is out of range");
  checkpoint.round = static_cast<int>(round);
  checkpoint.digest = attributes.at("digest");
  checkpoint.job = attributes.at("job");
  checkpoint.dataset_digest = attributes.at("dataset_digest");
  checkpoint.model_digest = attributes.at("model_digest");
  if (const auto names = attributes.find("label_names"); names != attributes.end())
    checkpoint.label_names = names_from_json(names->second);
  checkpoint.history = split(attributes.at("history"));
  checkpoint.versions = strings_from_json(attributes.at("versions"));
  checkpoint.parameters = read_digested(file, "/parameters");
  if (checkpoint.parameters.dim() != 1 || checkpoint.parameters.scalar_type() != at::kFloat) {
    throw file_error(file.path(), "/parameters is not 1-D and float32");
  }
  checkpoint.layout = layout_from_json(attributes.at("layout"), checkpoint.parameters.numel());
  checkpoint.strategy_state = read_states(file, names_from_json(attributes.at("strategy_state")));
  return checkpoint;
}

Checkpoint read_file(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  if (!file.has_attribute("/", "schema") || file.read_string("/", "schema") != schema) {
    throw file_error(path, "is not a checkpoint (its attribute schema is not fedmpi-checkpoint)");
  }
  if (const std::int64_t version = file.read_integer("/", "schema_version"); version != schema_version) {
    throw file_error(path, fmt::format("has schema_version {}; this program reads {}", version, schema_version));
  }
  try {
    return read_checkpoint(file);
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    throw file_error(path, std::string("is not a checkpoint of this program: ") + error.what());
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  const Attributes attributes = attributes_of(checkpoint, path);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);  // where it fails, the writer says why
  Hdf5Writer file(path);
  file.write_string("/", "schema", schema);
  file.write_integer("/", "schema_version", schema_version);
  file.write_integer("/", "round", checkpoint.round);
  for (const auto& [name, value] : attributes) file.write_string("/", name, value);
  file.write_string("/", "attributes_digest", digest_of(attributes, checkpoint.round));
  write_digested(file, "/parameters", checkpoint.parameters);
  for (const NamedTensor& state : checkpoint.strategy_state) write_digested(file, state_path(state.name), state.tensor);
  file.commit();
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
  rehearse(path, [&path] { read_file(path); });
  return read_file(path);
}

}  // namespace fedmpi
