#include "conformance_checks.hpp"
#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "made_up_examples.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

constexpr std::array splits{Split::train, Split::test};
constexpr std::size_t batch_size = 64;

const char* name_of(Split split) {
  return split == Split::train ? "train" : "test";
}

using Rows = std::vector<std::int64_t>;

Rows all_rows(const Dataset& dataset, Split split) {
  Rows rows(static_cast<std::size_t>(dataset.size(split)));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Calls work(rows) for one batch of the split after another.
template <class Work>
void for_each_batch(const Dataset& dataset, Split split, const Work& work) {
  const Rows rows = all_rows(dataset, split);
  for (std::size_t begin = 0; begin < rows.size(); begin += batch_size)
    work(std::span(rows).subspan(begin, std::min(batch_size, rows.size() - begin)));
}

// Of all bytes of a split, in batches.
std::string content(const Dataset& dataset, Split split) {
  Digest all;
  for_each_batch(dataset, split, [&](std::span<const std::int64_t> rows) {
    const Batch batch = dataset.batch(split, rows);
    for (const at::Tensor& part : {batch.tokens, batch.offsets, batch.features, batch.labels, batch.targets})
      all.add(part.defined() ? digest(part.contiguous()) : "none");
  });
  return all.hex();
}

bool same(const at::Tensor& one, const at::Tensor& other) {
  return one.defined() == other.defined() && (!one.defined() || at::equal(one, other));
}

bool same(const Batch& one, const Batch& other) {
  return same(one.tokens, other.tokens) && same(one.offsets, other.offsets) && same(one.features, other.features) &&
         same(one.labels, other.labels) && same(one.targets, other.targets);
}

bool is(const at::Tensor& tensor, at::ScalarType type, std::int64_t length) {
  return tensor.defined() && tensor.scalar_type() == type && tensor.dim() >= 1 && tensor.size(0) == length &&
         tensor.is_contiguous();
}

class DatasetChecks {
 public:
  explicit DatasetChecks(const Conformance& conformance)
      : plugin_{conformance.plugin},
        job_{conformance.job},
        options_{plugin_options(job_.dataset, plugin_.options(), "data", job_)} {}

  void open() { dataset_ = make<Dataset>(plugin_, options_); }

  void sizes() const {
    if (dataset_->size(Split::train) < 1) fails("has no train examples");
    if (dataset_->num_labels() < 1) fails("says that it has {} labels", dataset_->num_labels());
    if (dataset_->task() == Task::regression && dataset_->num_labels() != 1)
      fails("says that it has {} labels, but a regression has 1", dataset_->num_labels());
    if (const auto names = dataset_->label_names(); !names.empty() && std::ssize(names) != dataset_->num_labels())
      fails("has {} names for {} labels: one for each, or none", names.size(), dataset_->num_labels());
    for (const Split split : splits) {
      const std::int64_t size = dataset_->size(split);
      if (size < 0) fails("says that it has {} {} examples", size, name_of(split));
      const auto count = static_cast<std::size_t>(size);
      if (dataset_->labels(split).size() != count)
        fails("has {} labels for {} {} examples", dataset_->labels(split).size(), size, name_of(split));
      if (dataset_->lengths(split).size() != count)
        fails("has {} lengths for {} {} examples", dataset_->lengths(split).size(), size, name_of(split));
      const auto keys = dataset_->keys(split);
      if (!keys.empty() && keys.size() != count)
        fails("has {} keys for {} {} examples: one for each, or none", keys.size(), size, name_of(split));
    }
  }

  void labels() const {
    for (const Split split : splits)
      for (const std::int64_t label : dataset_->labels(split))
        if (label < 0 || label >= dataset_->num_labels())
          fails("has a {} example with the label {}, but labels are 0 to {}", name_of(split), label,
                dataset_->num_labels() - 1);
  }

  void lengths() const {
    for (const Split split : splits)
      for (const std::int64_t length : dataset_->lengths(split))
        if (length < 1) fails("has a {} example of length {}: take 1 at least", name_of(split), length);
  }

  void batches() const {
    for (const Split split : splits)
      for_each_batch(*dataset_, split, [&](std::span<const std::int64_t> rows) {
        const Batch batch = dataset_->batch(split, rows);
        check_shape(batch, static_cast<std::int64_t>(rows.size()), split);
        const auto labels = batch.labels.accessor<std::int64_t, 1>();
        for (std::size_t i = 0; i < rows.size(); ++i)
          if (labels[static_cast<std::int64_t>(i)] != dataset_->labels(split)[static_cast<std::size_t>(rows[i])])
            fails("gives {} example {} another label in a batch than labels() does", name_of(split), rows[i]);
      });
  }

  // An example is the same whatever it is asked for with.
  void rows() const {
    for (const Split split : splits) {
      const std::int64_t size = dataset_->size(split);
      if (size == 0) continue;
      const Rows asked{size - 1, 0, size / 2, 0};
      const Batch batch = dataset_->batch(split, asked);
      for (std::size_t i = 0; i < asked.size(); ++i)
        if (!same(choose(batch, std::array{static_cast<std::int64_t>(i)}),
                  dataset_->batch(split, std::array{asked[i]})))
          fails("gives {} example {} differently in a batch with others: batches follow the order asked for",
                name_of(split), asked[i]);
    }
  }

  void determinism() const {
    const auto other = make<Dataset>(plugin_, options_);
    if (dataset_->digest().empty()) fails("has an empty digest: take fedmpi::digest of the content");
    if (dataset_->digest() != other->digest()) fails("is not deterministic: two of its objects have other digests");
    for (const Split split : splits) {
      if (!std::ranges::equal(dataset_->labels(split), other->labels(split)) ||
          !std::ranges::equal(dataset_->lengths(split), other->lengths(split)) ||
          !std::ranges::equal(dataset_->keys(split), other->keys(split)) ||
          content(*dataset_, split) != content(*other, split))
        fails("is not deterministic: two of its objects have other {} examples", name_of(split));
    }
  }

  void threads() const {
    const std::string alone = content(*dataset_, Split::train);
    std::array<std::string, 2> together;
    std::array<std::exception_ptr, 2> failures;
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < together.size(); ++i)
        threads.emplace_back([&, i] {
          try {
            together[i] = content(*dataset_, Split::train);
          } catch (...) {
            failures[i] = std::current_exception();
          }
        });
    }
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
    if (together[0] != alone || together[1] != alone)
      fails("gives other examples when two threads read it at once: batch() must change nothing");
  }

 private:
  void check_shape(const Batch& batch, std::int64_t count, Split split) const {
    const auto wrong = [&](const char* what) { fails("gives {} batches {}", name_of(split), what); };
    if (batch.features.defined() == batch.tokens.defined()) wrong("that have not either features or tokens");
    if (!is(batch.labels, at::kLong, count) || batch.labels.dim() != 1) wrong("whose labels are not int64 [n]");
    const bool is_regression = dataset_->task() == Task::regression;
    if (is_regression ? !is(batch.targets, at::kFloat, count) : batch.targets.defined())
      wrong(is_regression ? "whose targets are not float32 [n]" : "with targets, which are for a regression");
    if (batch.features.defined()) {
      if (!is(batch.features, at::kFloat, count)) wrong("whose features are not float32 [n, ...], contiguous");
      if (!at::isfinite(batch.features).all().item<bool>()) wrong("with features that are not finite");
      return;
    }
    if (!is(batch.offsets, at::kLong, count + 1)) wrong("whose offsets are not int64 [n + 1]");
    if (!is(batch.tokens, at::kInt, batch.tokens.numel())) wrong("whose tokens are not int32 [total tokens]");
    const auto offsets = batch.offsets.accessor<std::int64_t, 1>();
    if (offsets[0] != 0 || offsets[count] != batch.tokens.numel()) wrong("whose offsets do not span the tokens");
    for (std::int64_t i = 0; i < count; ++i)
      if (offsets[i] >= offsets[i + 1]) wrong("with an example of no tokens");
    if (batch.tokens.lt(0).any().item<bool>()) wrong("with negative tokens");
  }

  const Plugin& plugin_;
  const Job& job_;
  Options options_;
  std::unique_ptr<Dataset> dataset_;
};

}  // namespace

void check_dataset(const Conformance& conformance) {
  DatasetChecks checks(conformance);
  if (!conformance.check("opens", [&] { checks.open(); })) return;
  if (!conformance.check("sizes", [&] { checks.sizes(); })) return;
  conformance.check("labels", [&] { checks.labels(); });
  conformance.check("lengths", [&] { checks.lengths(); });
  if (!conformance.check("batches", [&] { checks.batches(); })) return;
  conformance.check("any order", [&] { checks.rows(); });
  conformance.check("same examples again", [&] { checks.determinism(); });
  conformance.check("any thread", [&] { checks.threads(); });
}

}  // namespace fedmpi
