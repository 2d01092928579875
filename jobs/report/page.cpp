#include "page.hpp"

#include "fedmpi/error.hpp"
#include "markup.hpp"
#include "numbers.hpp"
#include "plot.hpp"
#include "sections.hpp"
#include "style.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

void write_head(Markup& page, const std::string& title) {
  const auto head = page.element("head");
  page.empty_element("meta", {{"charset", "utf-8"}});
  page.empty_element("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  page.empty_element("meta", {{"name", "color-scheme"}, {"content", "light dark"}});
  page.empty_element("meta", {{"name", "generator"}, {"content", "fedmpi " FEDMPI_VERSION}});
  page.empty_element("meta", {{"http-equiv", "Content-Security-Policy"},
                              {"content", "default-src 'none'; style-src 'unsafe-inline'"}});
  page.element("title", {}, title);
  const auto style = page.element("style");
  page.own(report_style);
}

void write_notes(Markup& page, const Run& run) {
  if (run.rounds.empty() || run.rounds.back().round < run.num_rounds)
    page.element("p", {{"class", "note"}},
                 fmt::format("{}: {}", progress_text(run),
                             run.last_words.empty() ? "the run goes on, or was stopped."
                                                    : "the run was ended by an error. " + run.last_words));
  if (run.line_cut_short)
    page.element("p", {{"class", "note"}}, "metrics.jsonl ends in the middle of a line, which is left out.");
}

void write_facts(Markup& page, const Run& run) {
  const auto list = page.element("p", {{"class", "facts"}});
  const auto fact = [&](const char* name, const std::string& value) {
    const auto item = page.element("span");
    page.element("span", {}, name);
    page.element("b", {}, value);
  };
  fact("strategy", run.strategy);
  fact("model", run.model);
  fact("data", run.dataset);
  fact("clients", grouped(std::ssize(run.clients)));
  fact("seed", fmt::format("{}", run.seed));
  fact("rounds", progress_text(run));
}

void write_digest(Markup& page, const Run& run) {
  if (run.rounds.empty()) return;
  const auto line = page.element("p", {{"class", "digest"}});
  page.text(fmt::format("Digest of the parameters after round {} ", run.rounds.back().round));
  page.element("code", {}, run.rounds.back().digest);
}

void write_one(Markup& page, const Run& run) {
  {
    const auto header = page.element("header");
    page.element("p", {{"class", "eyebrow"}}, "fedmpi report");
    page.element("h1", {}, run.name);
    page.element("p", {{"class", "path"}}, run.directory);
    write_facts(page, run);
    write_notes(page, run);
  }
  const auto main = page.element("main");
  write_overview(page, run);
  const auto section = [&](const char* title, const auto&... writers) {
    const auto element = page.element("section");
    page.element("h2", {}, title);
    (writers(page, run), ...);
  };
  if (!run.rounds.empty()) section("Learning", static_cast<void (*)(Markup&, const Run&)>(write_curves));
  if (!run.rounds.empty()) section("Time", static_cast<void (*)(Markup&, const Run&)>(write_times));
  section("Clients", write_clients, write_failures);
  section("Rounds and job", write_rounds, write_digest, write_job);
}

void write_each(Markup& page, const Run& run, const std::string& label) {
  const auto details = page.element("details", {{"class", "run"}});
  {
    const auto summary = page.element("summary");
    page.element("b", {}, run.directory);
    page.element("span", {}, label == run.directory ? "" : label);
  }
  write_facts(page, run);
  write_notes(page, run);
  write_clients(page, run);
  write_failures(page, run);
  write_rounds(page, run);
  write_digest(page, run);
  write_job(page, run);
}

void write_several(Markup& page, std::span<const Run> runs, const Comparison& comparison) {
  {
    const auto header = page.element("header");
    page.element("p", {{"class", "eyebrow"}}, "fedmpi report");
    page.element("h1", {}, fmt::format("{} runs", runs.size()));
    const std::string about =
        comparison.keys.empty()
            ? "One job"
            : fmt::format("{} jobs that differ in {}", comparison.groups.size(), fmt::join(comparison.keys, ", "));
    page.element("p", {{"class", "path"}}, about);
  }
  const auto main = page.element("main");
  {
    const auto section = page.element("section");
    page.element("h2", {}, "Comparison");
    {
      const auto card = page.element("div", {{"class", "card wide"}});
      page.element("h3", {}, "By job");
      page.element(
          "p", {},
          "Values of the newest round that all runs of a job have: mean ± sample standard deviation over seeds. "
          "The best mean is marked.");
      write_group_table(page, runs, comparison);
    }
    const auto card = page.element("div", {{"class", "card wide"}});
    page.element("h3", {}, "Run by run");
    page.element("p", {}, "Each at its own newest round.");
    write_run_table(page, runs, comparison);
  }
  {
    const auto section = page.element("section");
    page.element("h2", {}, "Learning");
    page.element("p", {{"class", "about"}},
                 "A line is the mean over seeds, the band around it one standard deviation to either side.");
    write_curves(page, runs, comparison);
  }
  {
    const auto section = page.element("section");
    page.element("h2", {}, "Time");
    write_times(page, runs, comparison);
  }
  const auto section = page.element("section");
  page.element("h2", {}, "Each run");
  page.element("p", {{"class", "about"}}, "Its clients and what they have, failures, rounds and job.");
  for (std::size_t i = 0; i < runs.size(); ++i) write_each(page, runs[i], comparison.labels[i]);
}

}  // namespace

std::string report_page(std::span<const Run> runs, const Comparison& comparison) {
  if (comparison.groups.size() > num_line_styles)
    throw UserError(
        fmt::format("{} different jobs are more than can be told apart in a chart: give runs of at most {}, or --json",
                    comparison.groups.size(), num_line_styles));
  Markup page{std::string(report_start)};
  {
    const auto html = page.element("html", {{"lang", "en"}});
    write_head(page, runs.size() == 1 ? runs[0].name + " – fedmpi report"
                                      : fmt::format("{} runs – fedmpi report", runs.size()));
    const auto body = page.element("body");
    if (runs.size() == 1)
      write_one(page, runs[0]);
    else
      write_several(page, runs, comparison);
    page.element("footer", {}, "Made by fedmpi " FEDMPI_VERSION " report.");
  }
  return page.take();
}

}  // namespace fedmpi
