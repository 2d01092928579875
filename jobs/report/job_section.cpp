#include "sections.hpp"

namespace fedmpi {

void write_job(Markup& page, const Run& run) {
  const auto card = page.element("details", {{"class", "card wide"}});
  page.element("summary", {}, "The job with every default written out");
  page.element("pre", {{"tabindex", "0"}}, run.job);
}

}  // namespace fedmpi
