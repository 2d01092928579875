#pragma once

#include "fedmpi/metrics.hpp"

namespace fedmpi {

// Calls visit(dotted name, member) for every value of a line, in the order in which lines have them.
template <typename Metrics, typename Visit>
void for_each_field(Metrics& metrics, Visit visit) {
  visit("round", metrics.round);
  visit("digest", metrics.digest);
  visit("clients", metrics.clients);
  visit("failures", metrics.failures);
  visit("fit.loss", metrics.fit_loss);
  visit("evaluate.loss", metrics.evaluate_loss);
  visit("evaluate.accuracy", metrics.evaluate_accuracy);
  visit("evaluate.f1", metrics.evaluate_f1);
  visit("evaluate.mean_absolute_error", metrics.evaluate_mean_absolute_error);
  visit("central.loss", metrics.central_loss);
  visit("central.accuracy", metrics.central_accuracy);
  visit("central.f1", metrics.central_f1);
  visit("central.mean_absolute_error", metrics.central_mean_absolute_error);
  visit("seconds.broadcast", metrics.seconds.broadcast);
  visit("seconds.fit", metrics.seconds.fit);
  visit("seconds.aggregate", metrics.seconds.aggregate);
  visit("seconds.evaluate", metrics.seconds.evaluate);
  visit("seconds.checkpoint", metrics.seconds.checkpoint);
  visit("seconds.total", metrics.seconds.total);
  visit("tokens_per_second", metrics.tokens_per_second);
  visit("hosts.predicted_seconds", metrics.hosts_predicted_seconds);
  visit("hosts.longest_seconds", metrics.hosts_longest_seconds);
  visit("hosts.idle_share", metrics.hosts_idle_share);
  visit("update_bytes", metrics.update_bytes);
  visit("bytes_sent", metrics.bytes_sent);
  visit("peak_rss_bytes", metrics.peak_rss_bytes);
}

}  // namespace fedmpi
