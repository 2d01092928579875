#include "fedmpi/metrics.hpp"

#include "file_error.hpp"
#include "json_integer.hpp"
#include "metrics_fields.hpp"
#include "tensorboard.hpp"
#include "whole_file.hpp"

#include <algorithm>
#include <concepts>
#include <functional>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

Json::json_pointer pointer(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return Json::json_pointer("/" + name);
}

// JSON has no NaN and no infinity: a measured value that is not finite is null there, which is not the same as absent.
struct ToJson {
  Json line;
  template <typename T>
  void operator()(const char* name, const T& value) {
    line[pointer(name)] = value;
  }
  template <typename T>
  void operator()(const char* name, const std::optional<T>& value) {
    if (value) (*this)(name, *value);
  }
};

// Takes out what it has read, so that what remains was not understood.
struct FromJson {
  nlohmann::json& line;
  void get(const nlohmann::json& value, std::string& result) const { result = value.get<std::string>(); }
  void get(const nlohmann::json& value, double& result) const {
    result = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : number(value).get<double>();
  }
  template <std::integral T>
  void get(const nlohmann::json& value, T& result) const {
    result = json_integer<T>(value);
  }
  static const nlohmann::json& number(const nlohmann::json& value) {
    if (!value.is_number()) throw Error("not a number");
    return value;
  }
  template <typename T>
  void operator()(const char* name, T& result) {
    if (!line.contains(name)) throw Error(fmt::format("the key {} is missing", name));
    get(line[name], result);
    line.erase(name);
  }
  template <typename T>
  void operator()(const char* name, std::optional<T>& result) {
    if (line.contains(name)) (*this)(name, result.emplace());
  }
};

// {"fit": {"loss": 1}} becomes {"fit.loss": 1}. Moves: the library copies lists in lists in lists ... recursively.
nlohmann::json flatten(nlohmann::json line) {
  if (!line.is_object()) throw Error("it is not an object");
  nlohmann::json flat = nlohmann::json::object();
  for (auto& [key, value] : line.items()) {
    if (!value.is_object()) {
      flat[key] = std::move(value);
      continue;
    }
    for (auto& [inner, inner_value] : value.items()) flat[key + "." + inner] = std::move(inner_value);
  }
  return flat;
}

struct CsvHeader {
  std::string row;
  template <typename T>
  void operator()(const char* name, const T&) {
    row += row.empty() ? name : fmt::format(",{}", name);
  }
};

struct CsvRow {
  std::string row;
  bool first = true;
  void put(const std::string& cell) {
    if (!std::exchange(first, false)) row += ',';
    row += cell;
  }
  template <typename T>
  void operator()(const char*, const T& value) {
    put(fmt::format("{}", value));
  }
  template <typename T>
  void operator()(const char*, const std::optional<T>& value) {
    put(value ? fmt::format("{}", *value) : "");
  }
};

std::string csv_header() {
  CsvHeader header;
  const RoundMetrics any;
  for_each_field(any, std::ref(header));
  return header.row + "\n";
}

std::string csv_row(const RoundMetrics& metrics) {
  CsvRow row;
  for_each_field(metrics, std::ref(row));
  return row.row + "\n";
}

// A text file that grows by whole lines.
class LineFile {
 public:
  LineFile(std::filesystem::path path, const std::string& start) : path_(std::move(path)) {
    write_whole_file(path_, start);
    file_.open(path_, std::ios::app);
    check();
  }
  void append(const std::string& line) {
    errno = 0;
    file_ << line << std::flush;
    check();
  }

 private:
  void check() const {
    if (!file_) throw file_error(path_, "could not be written: " + errno_message());
  }
  std::filesystem::path path_;
  std::ofstream file_;
};

Confusion confusion_of(const nlohmann::json& rows) {
  if (!rows.is_array()) throw Error("the confusion matrix is not a list of rows");
  Confusion confusion;
  for (const auto& row : rows) {
    if (!row.is_array()) throw Error("a row of the confusion matrix is not a list");
    auto& counts = confusion.emplace_back();
    for (const auto& count : row) counts.push_back(json_integer<std::int64_t>(count));
  }
  return confusion;
}

std::string joined(std::span<const std::string> lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::string csv_of(std::span<const std::string> lines) {
  std::string text = csv_header();
  for (const std::string& line : lines) text += csv_row(from_json_line(line));
  return text;
}

}  // namespace

std::string to_json_line(const RoundMetrics& metrics) {
  ToJson json;
  for_each_field(metrics, std::ref(json));
  if (!metrics.central_confusion.empty()) json.line["central"]["confusion"] = metrics.central_confusion;
  for (const ClientFailure& one : metrics.failed)
    json.line["failed"].push_back({{"client", one.client}, {"reason", one.message}});
  // What a client failed of may be in any bytes.
  return json.line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RoundMetrics from_json_line(const std::string& line) {
  try {
    nlohmann::json flat = flatten(nlohmann::json::parse(line));
    RoundMetrics metrics;
    for_each_field(metrics, FromJson{flat});
    if (const auto failed = flat.find("failed"); failed != flat.end()) {
      for (const auto& one : *failed)
        metrics.failed.push_back({json_integer<std::int64_t>(one.at("client")), one.at("reason").get<std::string>()});
      flat.erase(failed);
    }
    if (const auto confusion = flat.find("central.confusion"); confusion != flat.end()) {
      metrics.central_confusion = confusion_of(*confusion);
      flat.erase(confusion);
    }
    if (!flat.empty()) throw Error(fmt::format("the key {} is not known", flat.begin().key()));
    return metrics;
  } catch (const std::exception& error) {
    throw Error(fmt::format("a line of metrics could not be read: {} in: {:.200}", error.what(), line));
  }
}

struct MetricsWriter::Files {
  LineFile json;
  LineFile csv;
  EventWriter events;
};

MetricsWriter::MetricsWriter(const std::filesystem::path& directory, std::span<const std::string> history)
    : files_(new Files{{directory / "metrics.jsonl", joined(history)},
                       {directory / "metrics.csv", csv_of(history)},
                       EventWriter(directory)}) {}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(const RoundMetrics& metrics) {
  files_->json.append(to_json_line(metrics) + "\n");
  files_->csv.append(csv_row(metrics));
  files_->events.write(metrics);
}

}  // namespace fedmpi
