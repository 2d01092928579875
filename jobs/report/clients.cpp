#include "numbers.hpp"
#include "plot.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_columns = 100, max_rows = 24, max_names = 12, max_listed = 100, max_listed_labels = 12,
                      label_width = 7;

// The labels that examples have, the most frequent first.
std::vector<std::int64_t> labels_by_frequency(const std::vector<ClientStatistics>& clients) {
  std::map<std::int64_t, double> counts;
  for (const ClientStatistics& client : clients)
    for (const auto& [label, count] : client.labels) counts[label] += static_cast<double>(count);
  std::vector<std::int64_t> labels;
  for (const auto& [label, count] : counts) labels.push_back(label);
  std::ranges::stable_sort(labels, std::greater(), [&](std::int64_t label) { return counts[label]; });
  return labels;
}

double share_of(const ClientStatistics& client, std::int64_t label) {
  const auto found = client.labels.find(label);
  return found == client.labels.end() || found->second == 0
             ? 0.0
             : static_cast<double>(found->second) / static_cast<double>(client.train_examples);
}

std::vector<Tick> client_ticks(std::size_t count) {
  const Axis axis = round_axis(0, static_cast<double>(count) - 1, 8);
  std::vector<Tick> ticks;
  for (const double client : axis.ticks)
    if (client < static_cast<double>(count))
      ticks.push_back({(client + 0.5) / static_cast<double>(count), axis.label(client)});
  return ticks;
}

std::string cell(std::size_t column, double y, double height, std::size_t count) {
  const double width = plot_side / static_cast<double>(count), gap = count > 60 ? 0.0 : 0.04 * width;
  return fmt::format("M{} {}h{}v{}h-{}Z", coordinate(static_cast<double>(column) * width + gap), coordinate(y),
                     coordinate(width - 2 * gap), coordinate(height), coordinate(width - 2 * gap));
}

void write_sizes(Markup& page, std::span<const ClientStatistics> clients) {
  std::int64_t largest = 1;
  for (const ClientStatistics& client : clients) largest = std::max(largest, client.train_examples);
  const Axis axis = value_axis(0.0, static_cast<double>(largest), 3);
  const Plane plane{
      .summary = fmt::format("Training examples of {} clients, at most {}.", clients.size(), grouped(largest)),
      .x_name = "",
      .y_name = "training examples",
      .x_ticks = {},
      .y_ticks = ticks_of(axis),
      .label_width = label_width,
      .css_class = "plane low"};
  write_plane(page, plane, [&] {
    std::string path;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const double height = plot_side * axis.position(static_cast<double>(clients[i].train_examples));
      path += cell(i, plot_side - height, height, clients.size());
    }
    page.empty_element("path", {{"class", fill_class(0)}, {"d", path}});
  });
}

void write_labels(Markup& page, std::span<const ClientStatistics> clients, const std::vector<std::int64_t>& labels) {
  const double height = plot_side / static_cast<double>(labels.size());
  const std::size_t named_each = (labels.size() + max_names - 1) / max_names;
  std::array<std::string, num_shades> paths;
  std::vector<Tick> names;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const double y = plot_side - static_cast<double>(row + 1) * height;
    if (row % named_each == 0)
      names.push_back(
          {(static_cast<double>(row) + 0.5) / static_cast<double>(labels.size()), fmt::format("{}", labels[row])});
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const double share = share_of(clients[i], labels[row]);
      if (share == 0.0) continue;
      paths[shade_of(share)] += cell(i, y + 0.04 * height, 0.92 * height, clients.size());
    }
  }
  const Plane plane{
      .summary = fmt::format("The share of each of {} labels among each client's training examples.", labels.size()),
      .x_name = "client",
      .y_name = "label",
      .x_ticks = client_ticks(clients.size()),
      .y_ticks = names,
      .label_width = label_width,
      .has_grid = false,
      .css_class = "plane map"};
  write_plane(page, plane, [&] {
    for (std::size_t shade = 0; shade < num_shades; ++shade)
      if (!paths[shade].empty())
        page.empty_element("path", {{"class", fmt::format("shade shade{}", shade)}, {"d", paths[shade]}});
  });
  const auto key = page.element("p", {{"class", "shades"}});
  page.element("span", {}, "share of a client's examples");
  page.element("b", {}, "0 %");
  {
    const auto svg = page.element("svg", {{"viewBox", "0 0 80 10"}, {"aria-hidden", "true"}});
    for (std::size_t shade = 0; shade < num_shades; ++shade)
      page.empty_element(
          "path", {{"class", fmt::format("shade shade{}", shade)}, {"d", fmt::format("M{} 0h10v10h-10Z", 10 * shade)}});
  }
  page.element("b", {}, "100 %");
}

std::string labels_text(const ClientStatistics& client) {
  std::string text;
  std::size_t shown = 0;
  for (const auto& [label, count] : client.labels) {
    if (shown++ == max_listed_labels) return fmt::format("{}, {} more", text, client.labels.size() - max_listed_labels);
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", label, grouped(count));
  }
  return text;
}

void write_list(Markup& page, std::span<const ClientStatistics> clients) {
  const auto details = page.element("details");
  page.element("summary", {},
               clients.size() > max_listed ? fmt::format("The first {} clients in numbers", max_listed)
                                           : "The clients in numbers");
  std::vector<std::vector<Cell>> rows;
  for (std::size_t i = 0; i < std::min(clients.size(), max_listed); ++i)
    rows.push_back({{fmt::format("{}", i)},
                    {grouped(clients[i].train_examples)},
                    {grouped(clients[i].test_examples)},
                    {grouped(clients[i].tokens)},
                    {labels_text(clients[i])}});
  write_table(page, {{"client"}, {"train examples"}, {"test examples"}, {"tokens"}, {"train examples by label", false}},
              rows);
}

// "12 to 2,034 (median 180)"
std::string range_text(std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  return fmt::format("{} to {} (median {})", grouped(values.front()), grouped(values.back()),
                     grouped(values[(values.size() - 1) / 2]));
}

}  // namespace

void write_clients(Markup& page, const Run& run) {
  if (run.clients.empty()) return;
  std::vector<std::int64_t> sizes, num_labels;
  for (const ClientStatistics& client : run.clients) {
    sizes.push_back(client.train_examples);
    num_labels.push_back(std::ssize(client.labels));
  }
  std::vector<std::int64_t> labels = labels_by_frequency(run.clients);
  std::string about =
      fmt::format("{} clients, each with {} training examples", grouped(std::ssize(run.clients)), range_text(sizes));
  if (labels.size() > 1) about += fmt::format(" of {} labels", range_text(num_labels));
  about += ".";
  const auto shown = std::span(run.clients).first(std::min(run.clients.size(), max_columns));
  if (shown.size() < run.clients.size()) about += fmt::format(" The first {} are drawn.", shown.size());
  if (labels.size() > max_rows) about += fmt::format(" Of the labels, the {} most frequent are drawn.", max_rows);
  labels.resize(std::min(labels.size(), max_rows));
  std::ranges::sort(labels);
  write_figure(page, {.title = "Who has what", .about = about, .legend = {}, .is_wide = true}, [&] {
    write_sizes(page, shown);
    if (labels.size() > 1) write_labels(page, shown, labels);
    write_list(page, run.clients);
  });
}

}  // namespace fedmpi
